"""`python -m search register MODEL`: a trained folder as a version of a model in MLflow."""

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from search.credentials import from_environment, scrub, without_credentials
from search.tracking.check import absolute_uri, check_tracking, default_tracking_uri
from search.tracking.links import version_link, where_to_look
from trainable.errors import UsageError, UserError, one_line

if TYPE_CHECKING:
    from search.console import Terminal

_NAME: Final = re.compile(r"[\w.\- ]{1,250}")


def register(
    model: str, name: str | None, tracking_uri: str | None, runs_dir: Path, terminal: "Terminal"
) -> int:
    """Register a model folder and say how it is served.

    Raises:
        UsageError: the folder, the name or the store cannot be used.
        UserError: the store failed on the way; nothing half-registered is left where it answers.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(f"--name takes letters, digits, '.', '-', '_' and spaces, got '{name}'")
    tracking_uri = from_environment("tracking_uri", tracking_uri)
    check_tracking(tracking_uri, runs_dir)
    uri = absolute_uri(tracking_uri) or default_tracking_uri(runs_dir)
    from search.models.facts import ModelFacts

    facts = ModelFacts.read(model)
    from search.tracking.models import register_model

    try:
        version = register_model(facts, uri, name or facts.default_name)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"MLflow: {without_credentials(uri)} did not take the model: "
            f"{scrub(one_line(error), uri)}; register it again"
        ) from error
    if not version.linked:
        terminal.warn(
            f"no single search '{facts.search}' is recorded there: the model's run stands alone"
        )
    done = "registered" if version.new else "registered before, nothing was added:"
    terminal.say(f"{done} {version.name}, version {version.number}")
    terminal.say(f"serve    {serve_command(uri, version.name, version.number)}")
    base, command = where_to_look(uri, runs_dir)
    lines = [] if command is None else [command]
    for line in (*lines, version_link(base, version.name, version.number)):
        terminal.say(f"MLflow   {line}")
    return 0


def serve_command(uri: str, name: str, number: str) -> str:
    """What serves a registered version on this machine."""
    store = shlex.quote(without_credentials(uri) or uri)
    model = shlex.quote(f"models:/{name}/{number}")
    return (
        f"MLFLOW_TRACKING_URI={store} mlflow models serve -m {model} --env-manager local "
        "--host 127.0.0.1 --port 5001"
    )
