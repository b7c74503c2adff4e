"""The secret part of a server's environment, read from files when a process is started."""

from mlflow_server.login import read_key
from mlflow_server.private_files import read_private
from mlflow_server.settings import ServerSettings


def secret_environment(settings: ServerSettings) -> dict[str, str]:
    """Variables for MLflow and for PostgreSQL's programs; never to be printed or written.

    Raises:
        StoreError: a file is absent, or can be read by others.
    """
    variables = database_password(settings)
    if settings.login:
        variables["MLFLOW_FLASK_SERVER_SECRET_KEY"] = read_key(settings)
    return variables


def database_password(settings: ServerSettings) -> dict[str, str]:
    """`PGPASSWORD` from its file; empty where libpq must find the password itself."""
    if settings.database_password_file is None:
        return {}
    option = "--database-password-file"
    return {"PGPASSWORD": read_private(settings.database_password_file, option)}
