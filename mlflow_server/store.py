"""The store of a runs folder: a SQLite file and a folder of artifacts, same names as a search's."""

import contextlib
import dataclasses
import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mlflow_server.errors import StoreError as StoreError

MIN_FREE_BYTES: Final = 16 * 2**20
_LOCK_TIMEOUT_S: Final = 300.0  # as long as a server may take to start
_LOCK_PAUSE_S: Final = 0.1


@dataclasses.dataclass(frozen=True, slots=True)
class Store:
    """The files of one store."""

    runs_dir: Path
    """Absolute."""

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.runs_dir / "mlflow.db"

    @property
    def uri(self) -> str:
        """The SQLite file as MLflow names it."""
        return f"sqlite:///{self.database}"

    @property
    def logins(self) -> Path:
        """The SQLite file of users and permissions, where there is a login without PostgreSQL."""
        return self.runs_dir / "mlflow_auth.db"

    @property
    def artifacts(self) -> Path:
        """The folder of artifacts."""
        return self.runs_dir / "mlartifacts"

    @property
    def backups(self) -> Path:
        """Where backups go when nothing else is said, and what a restore has replaced."""
        return self.runs_dir / "mlbackups"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.runs_dir / "mlflow_server.log"

    def prepare(self) -> None:
        """Make the folder where it is absent.

        Raises:
            StoreError: it cannot be written, its disk is full, or its name is none for SQLAlchemy.
        """
        if "?" in str(self.runs_dir):  # its addresses take what follows for options
            raise StoreError(
                f"the runs folder {self.runs_dir} must not have a '?' in its path: rename it, or "
                "choose another --runs-dir"
            )
        try:
            self.runs_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.runs_dir):
                pass
        except OSError as error:
            raise StoreError(
                f"the runs folder {self.runs_dir} cannot be written: {error.strerror or error}; "
                "choose another --runs-dir"
            ) from None
        check_room(self.runs_dir, 0, "serve it")

    @contextlib.contextmanager
    def initialisation_lock(self) -> Iterator[None]:
        """Be the only one to open the database; searches take the same lock (same file name).

        Of several processes that open a fresh file at once, MLflow crashes all but one.

        Raises:
            StoreError: another process has held it for minutes.
        """
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        with self.database.with_name(f"{self.database.name}.lock").open("a") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise StoreError(
                            f"another process has been opening {self.database} for "
                            f"{_LOCK_TIMEOUT_S:.0f} s: wait for it, or stop it"
                        ) from None
                    time.sleep(_LOCK_PAUSE_S)
            yield


def check_room(folder: Path, needed: int, purpose: str) -> None:
    """Raise StoreError unless `needed` bytes and a little more are free where `folder` lies."""
    free = shutil.disk_usage(folder).free
    if free < needed + MIN_FREE_BYTES:
        raise StoreError(
            f"the disk of {folder} has {free / 2**20:,.0f} MiB free, and to {purpose} "
            f"{(needed + MIN_FREE_BYTES) / 2**20:,.0f} MiB are needed: make room"
        )
