"""What the MLflow process is told, from the settings alone: its command line and environment."""

import sys
from typing import Final

from mlflow_server.settings import ServerSettings
from mlflow_server.store import Store

_QUIET: Final = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    # the default pool deadlocks itself at 40 requests at once
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "20",
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "80",
}


def command(settings: ServerSettings) -> list[str]:
    """The command line of the MLflow server; anyone on the machine can read it: no secrets."""
    store = Store(settings.runs_dir)
    arguments = {
        "--backend-store-uri": store.uri,
        "--artifacts-destination": str(store.artifacts),
        "--host": settings.host,
        "--port": str(settings.port),
        "--workers": str(settings.workers),
    }
    options = [text for pair in arguments.items() for text in pair]
    return [sys.executable, "-m", "mlflow", "server", *options]


def environment(settings: ServerSettings) -> dict[str, str]:
    """The variables that are laid over our own environment."""
    hosts = dict.fromkeys((bracketed(settings.host), "127.0.0.1", "localhost"))
    return {
        # MLflow's default is a pattern that other sites' names can match
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(f"{host}:{settings.port}" for host in hosts),
        **_QUIET,
    }


def bracketed(host: str) -> str:
    """`host` as it stands in an address."""
    return f"[{host}]" if ":" in host else host
