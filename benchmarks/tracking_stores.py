"""MLflow stores to measure: a SQLite file, and MLflow's own server over SQLite or PostgreSQL."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trainable.errors import UserError

_START_S: Final = 120.0
_LEAN: Final = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


@contextlib.contextmanager
def served(folder: Path, backend: str) -> Iterator[str]:
    """The address of an MLflow server of one worker over the database `backend`."""
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--artifacts-destination", str(folder / "artifacts")],
            env={**os.environ, **_LEAN, "MLFLOW_BACKEND_STORE_URI": backend},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The address of an empty database of a PostgreSQL that lives in `folder`, on loopback.

    Args:
        folder: Below /tmp: PostgreSQL's user must be able to enter it.

    Raises:
        UserError: there is no PostgreSQL, or it does not start.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not programs:
        raise UserError("no PostgreSQL in /usr/lib/postgresql: install it, or use --stores")
    as_user = []
    if os.getuid() == 0:  # it refuses root
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *arguments: str) -> None:
        command = [*as_user, str(programs[-1].parent / program), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"{program} failed: {done.stderr}")

    port, data = _free_port(), str(folder / "data")
    run("initdb", "-D", data, "-U", "ann", "-A", "trust", "-N")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories="
    run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg://ann@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
            return
        time.sleep(0.2)
    raise UserError("the MLflow server does not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
