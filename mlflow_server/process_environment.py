"""What the MLflow process is told, from the settings alone: its command line and environment."""

import sys
from typing import Final

from mlflow_server import login
from mlflow_server.settings import ServerSettings
from mlflow_server.store import Store

_QUIET: Final = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
}
_POOL_KEPT: Final = 20  # connections that stay open between requests


def command(settings: ServerSettings) -> list[str]:
    """The command line of the MLflow server; anyone on the machine can read it: no secrets."""
    store = Store(settings.runs_dir)
    arguments = {
        "--artifacts-destination": settings.artifacts or str(store.artifacts),
        "--host": settings.host,
        "--port": str(settings.port),
        "--workers": str(settings.workers),
    }
    if settings.is_embedded:
        arguments["--backend-store-uri"] = store.uri
    if settings.login:
        arguments["--app-name"] = "basic-auth"
    options = [text for pair in arguments.items() for text in pair]
    return [sys.executable, "-m", "mlflow", "server", *options]


def environment(settings: ServerSettings) -> dict[str, str]:
    """The variables that are laid over our own environment; the secret ones are elsewhere."""
    assert settings.workers is not None, "team.made_ready counts them"
    own = dict.fromkeys((bracketed(settings.host), "127.0.0.1", "localhost"))
    hosts = [*(f"{host}:{settings.port}" for host in own), *settings.allowed_hosts]
    kept = min(_POOL_KEPT, settings.pool)
    variables = {
        # MLflow's default is a pattern that other sites' names can match
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        # the default pool deadlocks itself at 40 requests at once
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(kept),
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": str(settings.pool - kept),
        **_QUIET,
    }
    if settings.allowed_hosts:
        origins = (f"https://{host}" for host in settings.allowed_hosts)
        variables["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(origins)
    if settings.database is not None:
        variables["MLFLOW_BACKEND_STORE_URI"] = settings.database
    if settings.login:
        variables["MLFLOW_AUTH_CONFIG_PATH"] = str(login.config_path(settings))
    if settings.s3_endpoint is not None:
        variables["MLFLOW_S3_ENDPOINT_URL"] = settings.s3_endpoint
        variables["MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE"] = "path"
    return variables


def bracketed(host: str) -> str:
    """`host` as it stands in an address."""
    return f"[{host}]" if ":" in host else host
