"""The address of a PostgreSQL database: as users write it, as SQLAlchemy and as libpq want it."""

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from mlflow_server.store import StoreError

_DRIVER: Final = "postgresql+psycopg"  # version 3, as for --storage; MLflow works with both
_SCHEMES: Final = ("postgresql", "postgres", _DRIVER)
_SECRET_PARAMETERS: Final = ("password", "sslpassword", "passfile")


def sqlalchemy_url(address: str) -> str:
    """`postgresql://USER@HOST:PORT/DATABASE` with the driver that we install.

    Raises:
        StoreError: another kind of address, no database, or a password in it.
    """
    scheme, _, rest = address.partition("://")
    try:
        parts = urlsplit(f"//{rest}")
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        scheme = ""
    if scheme not in _SCHEMES or not rest or not address.isprintable():
        # not repeated: it may hold a password in any place
        raise StoreError("--database must look like postgresql://USER@HOST:PORT/DATABASE")
    names = {name for name, _ in parse_qsl(parts.query)}
    if parts.password is not None or names.intersection(_SECRET_PARAMETERS):
        raise StoreError(
            "--database must not hold a password, which everyone on this machine could read: put "
            "it into a file for --database-password-file, into PGPASSWORD or into ~/.pgpass"
        )
    if not parts.path.strip("/"):
        raise StoreError(f"--database names no database: '{address}'; add /mlflow, for example")
    return f"{_DRIVER}://{rest}"


def libpq_url(address: str) -> str:
    """What `sqlalchemy_url` made, as PostgreSQL's own programs take it."""
    return "postgresql://" + address.partition("://")[2]
