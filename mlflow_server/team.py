"""All that a team's server needs before MLflow starts; nothing of it for the embedded one."""

import dataclasses
import importlib.util
import os
from collections.abc import Callable

from mlflow_server import login
from mlflow_server.bucket import check_bucket
from mlflow_server.database import DatabaseFacts, probe
from mlflow_server.settings import ServerSettings
from mlflow_server.sizing import sized
from mlflow_server.store import StoreError


def made_ready(settings: ServerSettings, *, say: Callable[[str], None]) -> ServerSettings:
    """Check database, bucket and login, and write the login's files; the settings, made concrete.

    To be called where a person can be asked, in a runs folder that is there. At the first start
    with a login the admin's password is left in our environment, for MLflow's process to inherit.

    Raises:
        StoreError: something cannot be used; the message says what to do.
    """
    facts = None
    if settings.database is not None:
        facts = probe(settings)
        cores = len(os.sched_getaffinity(0))
        workers, pool = sized(settings.workers, cores=cores, connections=facts.connections)
        settings = dataclasses.replace(settings, workers=workers, pool=pool)
    if settings.artifacts is not None:
        check_bucket(settings)
    if settings.login:
        _make_login_ready(settings, facts, say)
    return settings


def _make_login_ready(
    settings: ServerSettings, facts: DatabaseFacts | None, say: Callable[[str], None]
) -> None:
    if importlib.util.find_spec("flask_wtf") is None:
        raise StoreError("--login needs Flask-WTF: pip install -c constraints.txt -e '.[team]'")
    has_admin = login.embedded_admin_exists(settings) if facts is None else facts.has_admin
    login.write_files(settings)
    if has_admin:
        os.environ.pop(login.PASSWORD_VARIABLE, None)  # MLflow would not look at it
    else:
        os.environ[login.PASSWORD_VARIABLE] = login.first_password(settings, say=say)
