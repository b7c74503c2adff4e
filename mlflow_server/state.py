"""Who serves a runs folder: a lock that dies with its process, and a file that tells of it.

The lock says whether somebody does; the file says who, where and since when. A killed server leaves
the file, which then tells whose processes may be left. Nothing secret is in it.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import platform
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from mlflow_server import processes
from mlflow_server.errors import ServerError, StoreError

STATE_NAME: Final = "mlflow_server.json"
LOCK_NAME: Final = "mlflow_server.lock"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One server, as it told of itself."""

    pid: int
    """The process that supervises MLflow's."""
    started: str
    """When that process began, as `processes.started` says: a later one with its pid is another."""
    token: str
    """Stands in the environment of MLflow's processes."""
    machine: str
    url: str
    since: str
    """UTC, ISO 8601."""
    mlflow_version: str
    log: str
    settings: dict[str, object]
    ready: bool = False

    @property
    def supervisor_lives(self) -> bool:
        """Whether that very process runs, on this machine."""
        return self.is_here and processes.started(self.pid) == self.started

    @property
    def is_here(self) -> bool:
        """Whether it was told on this machine."""
        return self.machine == platform.node()

    def leftovers(self) -> list[int]:
        """The processes of MLflow that run."""
        return processes.with_token(self.token) if self.is_here else []

    def write(self, runs_dir: Path) -> None:
        """Replace the file, whole or not at all.

        Raises:
            StoreError: it cannot be written.
        """
        path = runs_dir / STATE_NAME
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            fresh.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
            fresh.replace(path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise StoreError(
                f"{path} cannot be written: {error.strerror}; make room, or choose another "
                "--runs-dir"
            ) from None

    @classmethod
    def read(cls, runs_dir: Path) -> Self | None:
        """What stands in the file; None where there is none, or none that can be read."""
        try:
            return cls(**json.loads((runs_dir / STATE_NAME).read_text()))
        except (OSError, ValueError, TypeError):
            return None


def forget(runs_dir: Path, token: str) -> None:
    """Remove the file of the server with `token`; a later server's stays."""
    current = State.read(runs_dir)
    if current is not None and current.token == token:
        (runs_dir / STATE_NAME).unlink(missing_ok=True)


def is_held(runs_dir: Path) -> bool:
    """Whether somebody holds the lock: serves, restores, or is about to."""
    try:
        with (runs_dir / LOCK_NAME).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def hold(runs_dir: Path) -> Iterator[None]:
    """Be the only one to serve `runs_dir`; a forked child goes on holding.

    Raises:
        ServerError: another process serves it, or changes its store.
        StoreError: the folder cannot be written.
    """
    path = runs_dir / LOCK_NAME
    try:
        file = path.open("a")
    except OSError as error:
        raise StoreError(
            f"the runs folder {runs_dir} cannot be written: {error.strerror}; choose another "
            "--runs-dir"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerError(_who_holds(runs_dir)) from None
        except OSError as error:  # some network file systems
            raise StoreError(
                f"the runs folder {runs_dir} cannot be locked: {error.strerror}; choose another "
                "--runs-dir, on a file system with locks"
            ) from None
        yield


def _who_holds(runs_dir: Path) -> str:
    state = State.read(runs_dir)
    stop = f"`python -m mlflow_server stop --runs-dir {shlex.quote(str(runs_dir))}`"
    if state is None or (state.is_here and not state.supervisor_lives):
        return f"{runs_dir} is being started, backed up or restored by another process: wait for it"
    where = "" if state.is_here else f" on {state.machine}"
    word = "serves" if state.ready else "is about to serve"
    return f"process {state.pid}{where} {word} {runs_dir} at {state.url}: stop it first with {stop}"
