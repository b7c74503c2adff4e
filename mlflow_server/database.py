"""A PostgreSQL database before MLflow opens it: can it be reached, what has it room for?"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mlflow_server.database_address import libpq_url
from mlflow_server.login import ADMIN
from mlflow_server.secret_environment import database_password
from mlflow_server.settings import ServerSettings
from mlflow_server.store import StoreError

if TYPE_CHECKING:
    import psycopg

_CONNECT_TIMEOUT_S: Final = 10
_RESERVED: Final = (
    "SELECT sum(CASE name WHEN 'max_connections' THEN 1 ELSE -1 END * setting::int) "
    "FROM pg_settings WHERE name IN "
    "('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """What the server's start depends on."""

    connections: int
    """How many ordinary users may open, all together."""
    has_admin: bool
    """Whether MLflow's users are there already."""


def probe(settings: ServerSettings) -> DatabaseFacts:
    """Ask the database; writes nothing.

    Raises:
        StoreError: it cannot be reached, refuses us, or is no database for MLflow.
    """
    with connected(settings) as connection:
        return DatabaseFacts(
            connections=_one(connection, _RESERVED), has_admin=_has_admin(connection)
        )


@contextlib.contextmanager
def connected(settings: ServerSettings) -> Iterator["psycopg.Connection"]:
    """A connection to the database.

    Raises:
        StoreError: it cannot be reached, or refuses us; so does whatever it refuses in the block.
    """
    assert settings.database is not None, "only a PostgreSQL database is asked"
    try:
        import psycopg
    except ImportError:
        raise StoreError(
            "--database needs psycopg: pip install -c constraints.txt -e '.[team]'"
        ) from None
    password = database_password(settings).get("PGPASSWORD")
    try:
        with psycopg.connect(
            libpq_url(settings.database), password=password, connect_timeout=_CONNECT_TIMEOUT_S
        ) as connection:
            yield connection
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"the database {libpq_url(settings.database)} cannot be used: {reason}; check "
            "--database, that PostgreSQL runs, and the password (--database-password-file, "
            "PGPASSWORD or ~/.pgpass)"
        ) from None


def _has_admin(connection: "psycopg.Connection") -> bool:
    if _one(connection, "SELECT count(to_regclass('users'))") == 0:
        return False
    return _one(connection, f"SELECT count(*) FROM users WHERE username = '{ADMIN}'") == 1


def _one(connection: "psycopg.Connection", query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None, "an aggregate has one row"
    return int(row[0])
