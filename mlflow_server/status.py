"""How the server of a runs folder stands, and what its store holds; changes nothing."""

import dataclasses
import http
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mlflow_server import postgres, schema, sqlite_file, state
from mlflow_server.database import connected
from mlflow_server.database_address import libpq_url
from mlflow_server.errors import StoreError
from mlflow_server.server import status_of
from mlflow_server.settings import ServerSettings
from mlflow_server.state import State
from mlflow_server.store import Store

HEALTHY: Final = 0
ILL: Final = 1
NOT_RUNNING: Final = 3  # as init scripts say it
_COUNTED: Final = ("experiments", "runs")
_HEALTH_TIMEOUT_S: Final = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a database holds; `problem` instead where it cannot be asked."""

    database: str
    database_bytes: int | None = None
    experiments: int | None = None
    runs: int | None = None
    schema_version: str | None = None
    schema_fit: str | None = None
    problem: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A server and its store."""

    runs_dir: str
    running: bool
    starting: bool
    """It runs, and is not ready for the first time yet."""
    healthy: bool
    url: str | None
    pid: int | None
    machine: str | None
    since: str | None
    mlflow_version: str | None
    leftovers: list[int]
    """MLflow's processes of a supervising one that was killed."""
    log: str
    store: Contents | None
    """None where there is no database yet."""

    @property
    def exit_code(self) -> int:
        """For scripts: healthy, ill, or not running."""
        if not self.running:
            return ILL if self.leftovers else NOT_RUNNING
        return HEALTHY if self.healthy else ILL


def find_status(settings: ServerSettings) -> Status:
    """How the server of the runs folder of `settings` stands now."""
    runs_dir = settings.runs_dir
    about = State.read(runs_dir)
    held = state.is_held(runs_dir)
    running = about is not None and (about.supervisor_lives or (not about.is_here and held))
    known = about if running else None
    return Status(
        runs_dir=str(runs_dir),
        running=running,
        starting=known is not None and not known.ready,
        healthy=known is not None and _is_healthy(known),
        url=None if known is None else known.url,
        pid=None if known is None else known.pid,
        machine=None if known is None else known.machine,
        since=None if known is None else known.since,
        mlflow_version=None if known is None else known.mlflow_version,
        leftovers=[] if about is None or running else about.leftovers(),
        log=str(Store(runs_dir).log),
        store=_contents(settings if known is None else _stored_in(settings, known)),
    )


def print_status(settings: ServerSettings, *, as_json: bool, say: Callable[[str], None]) -> int:
    """Say how the server of `settings.runs_dir` stands; returns the exit code."""
    found = find_status(settings)
    if as_json:
        say(json.dumps(dataclasses.asdict(found), indent=2))
    else:
        for line in _lines(found):
            say(line)
    return found.exit_code


def _stored_in(settings: ServerSettings, about: State) -> ServerSettings:
    """`settings` with the database that the running server was told."""
    database, password = (about.settings.get(it) for it in ("database", "database_password_file"))
    return dataclasses.replace(
        settings,
        database=None if database is None else str(database),
        database_password_file=None if password is None else Path(str(password)),
    )


def _is_healthy(about: State) -> bool:
    if not about.is_here:
        return False  # it listens on its own machine alone
    address = urlsplit(about.url)
    assert address.hostname is not None, "we wrote it"
    assert address.port is not None, "we wrote it"
    answer = status_of(address.hostname, address.port, "/health", _HEALTH_TIMEOUT_S)
    return answer == http.HTTPStatus.OK


def _contents(settings: ServerSettings) -> Contents | None:
    store = Store(settings.runs_dir)
    where = str(store.database) if settings.database is None else libpq_url(settings.database)
    if settings.is_embedded and not store.database.exists():
        return None
    try:
        version, rows, size = _asked(settings)
    except StoreError as error:
        return Contents(database=where, problem=str(error))
    return Contents(
        database=where,
        database_bytes=size,
        experiments=rows.get("experiments"),
        runs=rows.get("runs"),
        schema_version=version,
        schema_fit=schema.installed().fit(version).value,
    )


def _asked(settings: ServerSettings) -> tuple[str | None, dict[str, int], int]:
    """Schema, rows of the two tables, bytes on disk."""
    if not settings.is_embedded:
        with connected(settings) as connection:
            rows = postgres.row_counts(connection, _COUNTED)
            return postgres.schema_version(connection), rows, postgres.size_bytes(connection)
    path = Store(settings.runs_dir).database
    with sqlite_file.opened(path) as connection:
        files = (path, path.with_name(f"{path.name}-wal"))
        size = sum(file.stat().st_size for file in files if file.exists())
        rows = sqlite_file.row_counts(connection, _COUNTED)
        return sqlite_file.schema_version(connection), rows, size


def _lines(found: Status) -> list[str]:
    lines = [_first_line(found)]
    if found.pid is not None:
        lines.append(f"process   {found.pid}, since {found.since}, MLflow {found.mlflow_version}")
    store = found.store
    if store is None:
        lines.append("database  none yet")
    elif store.problem is not None:
        lines.append(f"database  {store.problem}")
    else:
        lines.append(
            f"database  {store.database}, {(store.database_bytes or 0) / 2**20:,.1f} MiB, schema "
            f"{store.schema_version} ({store.schema_fit})"
        )
        lines.append(f"holds     {store.experiments} experiments, {store.runs} runs")
    return [*lines, f"log       {found.log}"]


def _first_line(found: Status) -> str:
    if found.leftovers:
        pids = ", ".join(map(str, found.leftovers))
        return (
            f"no server runs for {found.runs_dir}, but process {pids} of a killed one is left: end "
            f"it with `python -m mlflow_server stop --runs-dir {shlex.quote(found.runs_dir)}`"
        )
    if not found.running:
        return f"no server runs for {found.runs_dir}"
    if found.starting:
        return f"MLflow is about to serve {found.runs_dir} at {found.url}"
    health = "and is healthy" if found.healthy else "but does not answer"
    return f"MLflow serves {found.runs_dir} at {found.url} {health}"
