"""A PostgreSQL store: what is in it, a dump of it while it is used, and a dump back into it.

PostgreSQL's own programs do the work. They get the password in their environment, never as an
argument, and the snapshot in which the rows were counted, so that the counts are the dump's.
"""

import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlflow_server.archive import DatabaseRecord
from mlflow_server.database import connected
from mlflow_server.database_address import libpq_url
from mlflow_server.errors import ServerError, StoreError
from mlflow_server.secret_environment import database_password
from mlflow_server.settings import ServerSettings

if TYPE_CHECKING:
    import psycopg

KIND: Final = "postgresql"
_DEBIAN: Final = Path("/usr/lib/postgresql")
_TABLES: Final = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() "
    "AND table_type = 'BASE TABLE' ORDER BY table_name"
)
_OTHERS: Final = (
    "SELECT pid, client_addr FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY pid"
)


def tables(connection: "psycopg.Connection") -> list[str]:
    """The names of the tables, in order."""
    return [str(name) for (name,) in connection.execute(_TABLES)]


def row_counts(
    connection: "psycopg.Connection", only: Collection[str] | None = None
) -> dict[str, int]:
    """The rows of every table, or of those of `only` that are there."""
    wanted = [table for table in tables(connection) if only is None or table in only]
    return {table: _count(connection, table) for table in wanted}


def schema_version(connection: "psycopg.Connection") -> str | None:
    """The last migration of MLflow; None where it does not stand."""
    if "alembic_version" not in tables(connection):
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def size_bytes(connection: "psycopg.Connection") -> int:
    """Of the database on disk."""
    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None, "it is a function"
    return int(row[0])


def holds_nothing(connection: "psycopg.Connection") -> bool:
    """Whether no experiment and no run is in it: MLflow makes its first one when all tables are."""
    return not any(row_counts(connection, ("experiments", "runs")).values())


def dump(settings: ServerSettings, target: Path) -> DatabaseRecord:
    """Write what the database holds at this moment to `target`; others may go on writing.

    Raises:
        StoreError: the database cannot be reached, or there is nothing in it.
        ServerError: `pg_dump` is absent or failed.
    """
    from psycopg import IsolationLevel

    with connected(settings) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        record = DatabaseRecord(
            kind=KIND, schema_version=schema_version(connection), rows=row_counts(connection)
        )
        if not record.rows:
            raise StoreError(f"there is nothing to back up: {_shown(settings)} has no tables")
        exported = connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert exported is not None, "it is a function"
        _run(
            settings, "pg_dump", "--format=custom", f"--snapshot={exported[0]}", f"--file={target}"
        )
    return record


def check_place(settings: ServerSettings, *, replace: bool) -> bool:
    """See that a dump can be restored; returns whether nothing is there.

    Raises:
        StoreError: the database cannot be reached, or is not empty and `replace` is false.
        ServerError: others use it.
    """
    with connected(settings) as connection:
        there = tables(connection)
        others = connection.execute(_OTHERS).fetchall()
    if there and not replace:
        raise StoreError(
            f"{_shown(settings)} has tables, such as {there[0]}: add --replace, which backs them "
            "up first, or restore into an empty database"
        )
    if others:
        pid, address = others[0]
        raise ServerError(
            f"{len(others)} other sessions use {_shown(settings)} (process {pid} of PostgreSQL for "
            f"{address or 'a local client'}): stop the servers and searches that do"
        )
    return not there


def restore(settings: ServerSettings, source: Path, record: DatabaseRecord) -> None:
    """Replace the tables of the database by those of the dump `source`, all or none.

    Raises:
        ServerError: `pg_restore` is absent or failed, or the rows are not those of `record`.
    """
    _run(
        settings,
        *("pg_restore", "--single-transaction", "--clean", "--if-exists"),
        *("--no-owner", "--no-privileges", str(source)),
    )
    with connected(settings) as connection:
        found = row_counts(connection)
    wrong = [name for name, rows in record.rows.items() if found.get(name) != rows]
    if wrong:
        raise ServerError(
            f"{_shown(settings)} has {found.get(wrong[0])} rows of {wrong[0]} after the restore, "
            f"and had {record.rows[wrong[0]]} when it was backed up: do not use it"
        )


def _count(connection: "psycopg.Connection", table: str) -> int:
    from psycopg import sql

    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    row = connection.execute(query).fetchone()
    assert row is not None, "an aggregate has one row"
    return int(row[0])


def _run(settings: ServerSettings, program: str, *arguments: str) -> None:
    assert settings.database is not None, "only for PostgreSQL"
    command = [_program(program), "--no-password", f"--dbname={libpq_url(settings.database)}"]
    done = subprocess.run(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, **database_password(settings)},
        check=False,
    )
    if done.returncode != 0:
        reason = " ".join(done.stderr.split()) or f"it ended with {done.returncode}"
        raise ServerError(f"{program} failed on {_shown(settings)}: {reason}")


def _program(name: str) -> str:
    """PostgreSQL's `name`: on the path, or the newest of Debian's, which are not."""
    debian = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    found = str(debian[-1]) if debian else shutil.which(name)
    if found is None:
        raise ServerError(
            f"{name} is not installed: it comes with PostgreSQL's client programs (Debian: "
            "apt-get install postgresql-client), of the server's version or newer"
        )
    return found


def _shown(settings: ServerSettings) -> str:
    assert settings.database is not None, "only for PostgreSQL"
    return f"the database {libpq_url(settings.database)}"
