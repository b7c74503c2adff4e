"""The tracking store: MLflow's environment, the SQLite file, the experiment."""

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from search.credentials import without_credentials
from search.tracking.check import ARTIFACTS_NAME, database_path
from trainable.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_TIMEOUT: Final = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_ENVIRONMENT: Final = {
    # by default one call to a dead server blocks for 248 s, to a hanging one for 20 minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    _TIMEOUT: "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_LONGEST_TIMEOUT_S: Final = 60
_UPLOAD_TIMEOUT_S: Final = 60
_SLOWEST_UPLOAD: Final = 100_000
"""Bytes a second that a server takes and stores at least."""
_ANALYSIS_WAIT_S: Final = 1.0
_ANALYSIS_ROWS: Final = 1000
"""Of each index, at most: a large store takes no longer than a small one."""
_LOCK_TIMEOUT_S: Final = 300.0  # as long as a server may take to start
_LOCK_PAUSE_S: Final = 0.1


def connect(uri: str) -> "MlflowClient":
    """A client of the store at `uri`; a fresh SQLite file is made and migrated first.

    Raises:
        Exception: whatever MLflow raises when the store cannot be opened.
    """
    prepare_environment()
    from mlflow import MlflowClient  # takes seconds

    path = database_path(uri)
    if path is None:
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    # of three processes that open a fresh file at once, MLflow crashes two
    with initialisation_lock(path):
        if not path.exists():
            _make_database(path)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            # readers (the server) and the writer (a search) do not block each other
            connection.execute("PRAGMA journal_mode=WAL")
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    return client


def _make_database(path: Path) -> None:
    """Migrate a fresh file beside `path`, then put it there.

    A process that is killed while MLflow makes its tables leaves some of them, and MLflow then
    refuses the file for ever: `table secrets already exists`.
    """
    from mlflow import MlflowClient

    for left in path.parent.glob(f"{path.name}.new-*"):  # by one that was killed
        left.unlink()
    # a name of its own: MLflow keeps the store of an address, and its file may be gone by then
    fresh = path.with_name(f"{path.name}.new-{time.time_ns()}")
    uri = f"sqlite:///{fresh}"
    MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments(max_results=1)
    fresh.replace(path)


def refresh_statistics(uri: str) -> None:
    """Let SQLite see how its tables have grown: else it sorts thousands of trials by brute force.

    A convenience: whatever fails, or another process that is writing, leaves things as they are.
    """
    path = database_path(uri)
    if path is None:
        return
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(path, timeout=_ANALYSIS_WAIT_S)) as connection,
    ):
        connection.execute(f"PRAGMA analysis_limit={_ANALYSIS_ROWS}")
        connection.execute("ANALYZE")
        connection.commit()


def prepare_environment() -> None:
    """Short timeouts, no telemetry, no chatter; a variable that the user has set stays."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def be_more_patient() -> None:
    """After a time-out: a server that is slow would never get one batch whole otherwise."""
    timeout_s = int(os.environ[_TIMEOUT])
    os.environ[_TIMEOUT] = str(max(timeout_s, min(2 * timeout_s, _LONGEST_TIMEOUT_S)))


@contextlib.contextmanager
def upload_timeout(num_bytes: int) -> Iterator[None]:
    """Within: the time that a server may take for an artifact of that size."""
    usual = os.environ[_TIMEOUT]
    needed = _UPLOAD_TIMEOUT_S + num_bytes // _SLOWEST_UPLOAD
    os.environ[_TIMEOUT] = str(max(int(usual), needed))
    try:
        yield
    finally:
        os.environ[_TIMEOUT] = usual


@contextlib.contextmanager
def initialisation_lock(database: Path) -> Iterator[None]:
    """Be the only one to open `database`; `mlflow_server` takes the same lock (same file name).

    Raises:
        UserError: another process has held it for minutes.
    """
    path = database.with_name(f"{database.name}.lock")
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"another process has been opening {database} for {_LOCK_TIMEOUT_S:.0f} s"
                    ) from None
                time.sleep(_LOCK_PAUSE_S)
        yield


def experiment_id(client: "MlflowClient", uri: str, name: str) -> str:
    """The id of the experiment `name`, made if absent.

    Artifacts of a SQLite store go beside it, under a `file:` address, so that a client of the
    file and the server both find them; a server decides for itself.

    Raises:
        UserError: the experiment was deleted.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        path = database_path(uri)
        location = None if path is None else (path.parent / ARTIFACTS_NAME / name).as_uri()
        tags = {"mlflow.experimentKind": "custom_model_development"}
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # made by another search just now
    if experiment is None or experiment.lifecycle_stage != "active":
        raise UserError(
            f"the experiment '{name}' was deleted in {without_credentials(uri)}: restore it with "
            "`mlflow experiments restore`"
        )
    return str(experiment.experiment_id)
