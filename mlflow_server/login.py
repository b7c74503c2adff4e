"""The login: MLflow's own user database, told what it needs in files that nobody else may read.

A user sees and changes nothing but by the roles of `users.py`. The admin's password is MLflow's to
keep (hashed); here it only passes through the environment of the first start.
"""

import getpass
import os
import secrets
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from mlflow_server.private_files import read_private, write_private
from mlflow_server.settings import ServerSettings
from mlflow_server.store import StoreError

ADMIN: Final = "admin"
MIN_PASSWORD_LENGTH: Final = 12  # MLflow's own
PASSWORD_VARIABLE: Final = "MLFLOW_AUTH_ADMIN_PASSWORD"
_CACHE_S: Final = 60  # of checked passwords: MLflow takes 0.6 s for one


def config_path(settings: ServerSettings) -> Path:
    """What MLflow reads of its login."""
    return settings.runs_dir / "mlflow_auth.ini"


def key_path(settings: ServerSettings) -> Path:
    """The key that signs its form's cookies."""
    return settings.runs_dir / "mlflow_auth.key"


def users_database(settings: ServerSettings) -> Path:
    """The users, where there is no PostgreSQL to hold them beside the runs."""
    return settings.runs_dir / "mlflow_auth.db"


def write_files(settings: ServerSettings) -> None:
    """Write the configuration, and once the key.

    Raises:
        StoreError: the runs folder cannot be written.
    """
    uri = settings.database or f"sqlite:///{users_database(settings)}"
    lines = (
        "[mlflow]",
        "default_permission = NO_PERMISSIONS",
        f"database_uri = {uri.replace('%', '%%')}",
        f"admin_username = {ADMIN}",
        f"auth_cache_ttl_seconds = {_CACHE_S}",
    )
    try:
        write_private(config_path(settings), "\n".join(lines) + "\n")
        if not key_path(settings).exists():
            write_private(key_path(settings), secrets.token_urlsafe(32))
    except OSError as error:
        raise StoreError(f"the login's files cannot be written: {error}") from None


def read_key(settings: ServerSettings) -> str:
    """The key that `write_files` made."""
    return read_private(key_path(settings), "the login's key")


def embedded_admin_exists(settings: ServerSettings) -> bool:
    """Whether the SQLite file of users has its admin."""
    path = users_database(settings)
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(path)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'users'")
            if tables.fetchone() is None:
                return False
            query = "SELECT 1 FROM users WHERE username = ?"
            return connection.execute(query, (ADMIN,)).fetchone() is not None
    except sqlite3.Error as error:
        raise StoreError(
            f"the users' database {path} cannot be opened: {error}; restore it, or move it away "
            "to begin without users"
        ) from None


def first_password(settings: ServerSettings, *, say: Callable[[str], None]) -> str:
    """The admin's password for the first start: from the environment or a file, asked for, or made.

    A made one is said once, and only where what is said is not kept.

    Raises:
        StoreError: it is too short, or none can be had here.
    """
    given = os.environ.get(PASSWORD_VARIABLE)
    if given:
        return checked_password(given, PASSWORD_VARIABLE)
    if settings.admin_password_file:
        option = "--admin-password-file"
        return checked_password(read_private(settings.admin_password_file, option), option)
    if sys.stdin.isatty():
        asked = asked_password(ADMIN)
        if asked:
            return asked
    elif _is_kept():
        raise StoreError(
            "the first start needs a password for the user admin, and one that is made here would "
            f"be kept where this output goes: set {PASSWORD_VARIABLE}, give --admin-password-file, "
            "or start it once on a terminal"
        )
    return made_password(ADMIN, say)


def made_password(user: str, say: Callable[[str], None]) -> str:
    """A fresh password, said once."""
    made = secrets.token_urlsafe(18)
    say(f"the user {user} has the password {made} (shown this once, kept nowhere)")
    return made


def asked_password(user: str) -> str:
    """The password that somebody types twice; empty: he wants one made."""
    while True:
        first = getpass.getpass(f"Password for the user {user} (empty: one is made): ")
        if not first:
            return ""
        try:
            checked_password(first, "the password")
        except StoreError as error:
            sys.stderr.write(f"{error}\n")
            continue
        if getpass.getpass("Once more: ") == first:
            return first
        sys.stderr.write("these two differ\n")


def checked_password(password: str, where: str) -> str:
    """`password`, if MLflow will take it.

    Raises:
        StoreError: it is too short.
    """
    if len(password) < MIN_PASSWORD_LENGTH:
        raise StoreError(f"{where} must have at least {MIN_PASSWORD_LENGTH} characters")
    return password


def _is_kept() -> bool:
    """Whether what we print goes to a file or a journal rather than to somebody who reads it."""
    mode = os.fstat(sys.stdout.fileno()).st_mode
    return not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode))
