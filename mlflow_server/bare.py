"""MLflow's web application under uvicorn alone: half the time to start, half the memory.

`mlflow server` imports MLflow, opens the store, and then starts uvicorn, which does both again; the
first process stays only to pass signals on. The application can be started directly, told by
environment variables that belong to MLflow itself: hence only for versions where that was tried,
and for one worker: several would make the tables and the admin at the same time. docs/LOG.md has
the figures. One process also leaves no orphan.
"""

import sys
from typing import Final

from mlflow_server.settings import ServerSettings
from mlflow_server.store import Store

_TRIED: Final = ("3.17.",)
_WITHOUT: Final = "mlflow.server.fastapi_app:app"
_WITH_LOGIN: Final = "mlflow.server.auth:create_app"
_IMPORT: Final = "import sys, uvicorn, mlflow.server.fastapi_app, mlflow.server.handlers"
_HOLD: Final = "sys.stdin.readline() or sys.exit()"
# or the first requests would open the stores, several at once
_OPEN: Final = "mlflow.server.handlers.initialize_backend_stores()"
_SERVE: Final = "uvicorn.main()"


def is_possible(settings: ServerSettings, mlflow_version: str) -> bool:
    """Whether the server that `settings` ask for can run that way."""
    return settings.workers == 1 and mlflow_version.startswith(_TRIED)


def command(settings: ServerSettings, *, held: bool = False) -> list[str]:
    """The command line; if `held`, it imports all, and serves when it reads a line."""
    steps = (_IMPORT, _HOLD, _OPEN, _SERVE) if held else (_IMPORT, _OPEN, _SERVE)
    return [
        *(sys.executable, "-c", "; ".join(steps)),
        *("--host", settings.host, "--port", str(settings.port)),
        *("--workers", "1"),  # or $WEB_CONCURRENCY decides
        *("--no-access-log", "--timeout-graceful-shutdown", "5"),
        *(("--factory", _WITH_LOGIN) if settings.login else (_WITHOUT,)),
    ]


def environment(settings: ServerSettings) -> dict[str, str]:
    """What `mlflow server` would tell its uvicorn (mlflow/server/constants.py)."""
    store = Store(settings.runs_dir)
    database = settings.database or store.uri
    return {
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_REGISTRY_STORE": database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": settings.artifacts or str(store.artifacts),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
    }
