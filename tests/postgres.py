"""A real PostgreSQL on loopback, in a temporary folder, with a user and a password."""

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

USER = "ann"
PASSWORD = "pw-of-a-test"


@dataclasses.dataclass(frozen=True)
class Postgres:
    """Where it listens."""

    port: int

    def url(self, scheme="postgresql", *, password=None, database="postgres"):
        user = USER if password is None else f"{USER}:{password}"
        return f"{scheme}://{user}@127.0.0.1:{self.port}/{database}"

    def query(self, text, *, database="postgres"):
        """All rows."""
        import psycopg

        with psycopg.connect(self.url(password=PASSWORD, database=database)) as connection:
            return connection.execute(text).fetchall()

    def create(self, database):
        """Make an empty database."""
        import psycopg

        with psycopg.connect(self.url(password=PASSWORD), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}")


@contextlib.contextmanager
def served_postgres(*settings):
    """Start one, told `settings` such as "max_connections=20"; skips where Debian has none."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not programs:
        pytest.skip("needs PostgreSQL: make servers")
    # not below pytest's own folder, into which PostgreSQL's user may not look
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield from _served(programs[-1].parent, Path(name), settings)


def _served(programs, home, settings):
    home.chmod(0o755)
    as_user = []
    if os.getuid() == 0:  # PostgreSQL refuses root
        shutil.chown(home, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password = home / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)

    def run(program, *arguments):
        command = [*as_user, programs / program, *arguments]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    data = home / "data"
    run("initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={password}", "-N")
    told = ("listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off")
    options = " ".join(f"-c {setting}" for setting in (*told, *settings))
    run("pg_ctl", "-D", data, "-w", "-l", home / "log", "-o", options, "start")
    try:
        yield Postgres(port)
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
