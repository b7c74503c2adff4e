"""Addresses of MLflow pages. State lives after the `#`, so a link opens what it shows.

Without `workflowType=machine_learning` a fresh browser opens the GenAI menu instead of runs.
Nested runs show only in a list sorted by creation; a filter or a sort by metric flattens it.
"""

import shlex
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from search.credentials import without_credentials
from search.tracking.check import DATABASE_NAME, database_path
from trainable.config import BEST_OBJECTIVE

LOCAL_SERVER: Final = "http://127.0.0.1:5000"
"""Where `python -m mlflow_server` and `mlflow server` serve, unless told otherwise."""

RUN_PAGE: Final = "#RUN"
"""In a description: the page of the search's own run, whose id only the sender knows."""

VIEW_PAGE: Final = "#VIEW"
"""In a description: the list of its trials, with the prepared view."""

_MODE: Final = ("workflowType", "machine_learning")


def server_command(database: Path, uri: str, runs_dir: Path) -> str:
    """What serves a SQLite store: our own server where it lies in a runs folder, MLflow's else."""
    if database == runs_dir / DATABASE_NAME:
        return f"python -m mlflow_server --runs-dir {shlex.quote(str(runs_dir))}"
    return f"mlflow server --backend-store-uri {shlex.quote(uri)}"


def trials_filter(search_id: str) -> str:
    """MLflow's search expression for the trials of one search."""
    return f"tags.`hpo.search_id` = '{search_id}' and tags.`hpo.role` = 'trial'"


def view_link(base: str, experiment_id: str, search_id: str) -> str:
    """The prepared view of one search's trials (`search.tracking.view`)."""
    query = (_MODE, ("viewStateShareKey", search_id))
    return f"{base}/#/experiments/{experiment_id}/runs?{urlencode(query)}"


def trials_link(base: str, experiment_id: str, search_id: str) -> str:
    """The trials of one search, best first: plain, for where there is no prepared view."""
    query = (
        _MODE,
        ("searchFilter", trials_filter(search_id)),
        ("orderByKey", f"metrics.`{BEST_OBJECTIVE}`"),
        ("orderByAsc", "false"),
        ("startTime", "ALL"),
        ("lifecycleFilter", "Active"),
    )
    return f"{base}/#/experiments/{experiment_id}/runs?{urlencode(query, quote_via=quote)}"


def nested_link(base: str, experiment_id: str) -> str:
    """All searches over one dataset, trials nested below each."""
    query = (_MODE, ("orderByKey", "attributes.start_time"), ("orderByAsc", "false"))
    return f"{base}/#/experiments/{experiment_id}/runs?{urlencode(query, quote_via=quote)}"


def search_link(base: str, experiment_id: str, run_id: str) -> str:
    """The page of one search: outcome, test metrics, plots, and links to its trials."""
    return f"{base}/#/experiments/{experiment_id}/runs/{run_id}?{urlencode([_MODE])}"


def version_link(base: str, name: str, number: str) -> str:
    """The page of one version of a registered model."""
    return f"{base}/#/models/{quote(name, safe='')}/versions/{number}?{urlencode([_MODE])}"


def resolved(text: str, experiment_id: str, run_id: str, search_id: str) -> str:
    """A description whose links lead somewhere; relative, so that every server's name will do."""
    run = f"#/experiments/{experiment_id}/runs/{run_id}"
    view = view_link("", experiment_id, search_id).removeprefix("/")
    return text.replace(f"({RUN_PAGE}", f"({run}").replace(f"({VIEW_PAGE}", f"({view}")


def where_to_look(uri: str, runs_dir: Path) -> tuple[str, str | None]:
    """The address of the store's pages, and the command that serves them where none does yet."""
    path = database_path(uri)
    if path is None:
        return (without_credentials(uri) or uri).rstrip("/"), None
    return LOCAL_SERVER, server_command(path, uri, runs_dir)
