"""The store of a runs folder: a SQLite file and a folder of artifacts, same names as a search's."""

import contextlib
import dataclasses
import fcntl
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LOCK_TIMEOUT_S: Final = 300.0  # as long as a server may take to start
_LOCK_PAUSE_S: Final = 0.1


class StoreError(Exception):
    """The store cannot be used; the message is one line that says what to do."""


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
    def artifacts(self) -> Path:
        """The folder of artifacts."""
        return self.runs_dir / "mlartifacts"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.runs_dir / "mlflow_server.log"

    def prepare(self) -> None:
        """Make what is absent; writers and readers of the database will not block each other.

        Raises:
            StoreError: the folder or the database cannot be used.
        """
        try:
            self.runs_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.runs_dir):
                pass
        except OSError as error:
            raise StoreError(
                f"the runs folder {self.runs_dir} cannot be written: {error.strerror or error}; "
                "choose another --runs-dir"
            ) from None
        try:
            with contextlib.closing(sqlite3.connect(self.database)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.Error as error:
            raise StoreError(
                f"the database {self.database} cannot be opened: {error}; restore it, or move it "
                "away to begin a new one"
            ) from None

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
