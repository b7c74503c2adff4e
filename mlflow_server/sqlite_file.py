"""The SQLite file of a store: can it be used, what is in it, a copy of it while it is used.

Whatever SQLite objects to becomes one line that says what to do.
"""

import contextlib
import os
import pwd
import sqlite3
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from mlflow_server import processes
from mlflow_server.errors import DamagedError, StoreError

_BUSY_S: Final = 5.0
_CHECK_S: Final = 2.0  # a gigabyte takes longer to check than anybody waits
_CHECK_STEPS: Final = 10_000


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the existing file `path`.

    Raises:
        StoreError: it cannot be used; so does whatever SQLite objects to in the block.
    """
    _check_rights(path)
    try:
        address = f"{path.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_BUSY_S)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise _in_words(path, error) from None


def check_whole(path: Path) -> None:
    """Look for damage, for two seconds at most; leave it so that readers and a writer do not wait.

    Raises:
        StoreError: it is damaged, or cannot be used.
    """
    with opened(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        deadline = time.monotonic() + _CHECK_S
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _CHECK_STEPS)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            found = "ok"
    if found != "ok":
        raise DamagedError(_damaged(path, " ".join(str(found).split())))


def schema_version(connection: sqlite3.Connection, table: str = "alembic_version") -> str | None:
    """The last migration of MLflow; None where it does not stand."""
    if table not in tables(connection):
        return None
    row = connection.execute(f'SELECT version_num FROM "{table}"').fetchone()
    return None if row is None else str(row[0])


def tables(connection: sqlite3.Connection) -> list[str]:
    """The names of the tables, in order."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' "
        "ESCAPE '@' ORDER BY name"
    )
    return [str(name) for (name,) in names]


def row_counts(
    connection: sqlite3.Connection, only: Collection[str] | None = None
) -> dict[str, int]:
    """The rows of every table, or of those of `only` that are there."""
    return {
        table: int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])
        for table in tables(connection)
        if only is None or table in only
    }


def holds_nothing(connection: sqlite3.Connection) -> bool:
    """Whether no experiment and no run is in it: MLflow makes its first one when all tables are."""
    return not any(
        connection.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone()
        for table in {"experiments", "runs"} & set(tables(connection))
    )


def copy(path: Path, target: Path) -> None:
    """A consistent copy of `path`, one file, while others read and write.

    Raises:
        StoreError: SQLite objects, or the copy is damaged.
    """
    with opened(path) as source:
        try:
            with contextlib.closing(sqlite3.connect(target)) as copied:
                source.backup(copied)
                copied.execute("PRAGMA journal_mode=DELETE")  # no files beside it
                found = copied.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError as error:
            raise _in_words(path, error) from None
    if found != "ok":
        raise DamagedError(_damaged(path, " ".join(str(found).split())))


def check_unused(path: Path) -> None:
    """Fold the files beside `path` into it, which only the one user of it can.

    Raises:
        DamagedError: it is damaged, and nobody has it open.
        StoreError: another process has it open.
    """
    try:
        with opened(path) as connection:
            connection.execute("PRAGMA busy_timeout=500")
            connection.execute("PRAGMA journal_mode=DELETE")
    except DamagedError:
        if processes.users_of(path):
            raise StoreError(_in_use(path)) from None
        raise


def companions(path: Path) -> list[Path]:
    """The files beside `path` that belong to it: what was written last may be in them alone."""
    beside = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]
    return [file for file in beside if file.exists()]


def put_in_place(fresh: Path, path: Path) -> None:
    """Let `fresh` become `path`, which nobody uses, readers and a writer not waiting.

    Files of an earlier database of that name are renamed: SQLite would take them for the new one's.
    """
    with opened(fresh) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    for left in companions(path):
        left.rename(left.with_name(f"{left.name}.left-{time.time_ns()}"))
    fresh.replace(path)


def _check_rights(path: Path) -> None:
    if not path.is_file():
        raise StoreError(
            f"the database {path} is no file: move away what lies there to begin a new one"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(
            f"the database {path} belongs to {_name(path.stat().st_uid)} and cannot be written by "
            f"{_name(os.geteuid())}: run this as {_name(path.stat().st_uid)}, or change its owner"
        )


def _in_words(path: Path, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None) or 0
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(_in_use(path))
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return StoreError(
                f"the database {path} cannot be written ({error}): make room on its disk"
            )
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return DamagedError(_damaged(path, str(error)))
        case _:
            return StoreError(f"the database {path} cannot be used: {error}")


def _in_use(path: Path) -> str:
    pids = ", ".join(map(str, processes.users_of(path)))
    who = f"process {pids}" if pids else "another program"
    return f"the database {path} is in use by {who}: stop that, then try again"


def _damaged(path: Path, found: str) -> str:
    return (
        f"the database {path} is damaged ({found}): restore a backup with `python -m mlflow_server "
        "restore FILE --replace`, or move it away to begin a new one"
    )


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
