"""What a server is told: where it listens, what it stores in, who may use it. No I/O here."""

import dataclasses
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """One server; the defaults are the embedded one: no login, this machine only.

    No password lies in here: what holds settings may be printed and written down.
    """

    runs_dir: Path
    """Absolute; holds the server's log and state, and whatever of the stores is embedded."""
    host: str = LOOPBACK
    """The address it listens on; always of this machine: others come through a reverse proxy."""
    port: int = 5000
    database: str | None = None
    """SQLAlchemy URL of a PostgreSQL database, without a password (libpq finds that in PGPASSWORD
    or its password file); None: the SQLite file `mlflow.db` of the runs folder."""
    database_password_file: Path | None = None
    """Absolute; a file that holds that password and that nobody else may read."""
    artifacts: str | None = None
    """`s3://BUCKET/PREFIX`, which the server passes on to its clients; None: the folder
    `mlartifacts` of the runs folder."""
    s3_endpoint: str | None = None
    """Address of an S3-compatible server; None: Amazon's."""
    login: bool = False
    """Whether every request needs a user and a password."""
    admin_password_file: Path | None = None
    """Absolute; the password that the user `admin` gets at the first start, instead of one that is
    asked for or made."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names, with a port where it is not 443, that a reverse proxy with TLS is asked for."""
    workers: int | None = 1
    """Processes that answer; None: as many as the machine and the database have room for."""
    pool: int = 100
    """Connections that one worker may open for runs, and as many for users."""

    @property
    def is_embedded(self) -> bool:
        """Whether the database is the SQLite file of the runs folder."""
        return self.database is None
