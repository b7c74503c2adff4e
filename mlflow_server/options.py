"""The options that make a server's settings."""

import argparse
from pathlib import Path
from typing import Any, Final

from mlflow_server.config_file import read_config
from mlflow_server.database_address import sqlalchemy_url
from mlflow_server.option_checks import (
    check_address,
    check_allowed_hosts,
    check_artifacts,
    check_workers,
)
from mlflow_server.settings import LOOPBACK, ServerSettings
from mlflow_server.store import StoreError

_DEFAULTS: Final = {"runs_dir": Path("runs"), "host": LOOPBACK, "port": 5000, "workers": "1"}


def add_server_options(made: argparse.ArgumentParser) -> None:
    """Add to `made` whatever `server_settings` reads: of the foreground, `start` and others."""
    made.add_argument("--port", type=int, help=f"default: {_DEFAULTS['port']}")
    made.add_argument("--host", help=f"default: {_DEFAULTS['host']}")
    made.add_argument("--runs-dir", type=Path, help="of the searches; default: ./runs")
    team = made.add_argument_group("for a team (docs/deploy.md)")
    team.add_argument(
        "--config", type=Path, metavar="FILE", help="these options from a YAML file; flags win"
    )
    team.add_argument("--database", metavar="URL", help="postgresql://USER@HOST:PORT/DATABASE")
    team.add_argument(
        "--database-password-file", type=Path, metavar="FILE", help="its password, mode 600"
    )
    team.add_argument("--artifacts", metavar="URL", help="s3://BUCKET/PREFIX")
    team.add_argument("--s3-endpoint", metavar="URL", help="of an S3-compatible server")
    team.add_argument(
        "--login",
        action=argparse.BooleanOptionalAction,
        help="everyone needs a user and a password",
    )
    team.add_argument(
        "--admin-password-file",
        type=Path,
        metavar="FILE",
        help="the first start's admin password, mode 600; default: asked for, or made",
    )
    team.add_argument(
        "--allowed-host",
        action="append",
        dest="allowed_hosts",
        metavar="HOST[:PORT]",
        help="a name that the reverse proxy is asked for; may be said again",
    )
    team.add_argument(
        "--workers",
        metavar="N|auto",
        help="processes that answer; default: 1",
    )


def server_settings(options: argparse.Namespace) -> ServerSettings:
    """The settings that the options of `add_server_options` ask for; flags go before the file.

    Raises:
        StoreError: an option is out of its range, or two do not go together.
    """
    said = {name: value for name, value in vars(options).items() if value is not None}
    config = said.pop("config", None)
    values = {**_DEFAULTS, **(read_config(config) if config else {}), **said}
    return _settings(values)


def _settings(values: dict[str, Any]) -> ServerSettings:
    database, artifacts = values.get("database"), values.get("artifacts")
    check_address(values["host"], values["port"])
    check_artifacts(artifacts, values.get("s3_endpoint"))
    hosts = tuple(values.get("allowed_hosts", ()))
    login = values.get("login", False)
    check_allowed_hosts(hosts, login=login)
    _check_pairs(values, login=login)
    return ServerSettings(
        runs_dir=values["runs_dir"].absolute(),
        host=values["host"],
        port=values["port"],
        database=None if database is None else sqlalchemy_url(database),
        database_password_file=_absolute(values.get("database_password_file")),
        artifacts=artifacts,
        s3_endpoint=values.get("s3_endpoint"),
        login=login,
        admin_password_file=_absolute(values.get("admin_password_file")),
        allowed_hosts=hosts,
        workers=check_workers(values["workers"], embedded=database is None),
    )


def _check_pairs(values: dict[str, Any], *, login: bool) -> None:
    if "database_password_file" in values and "database" not in values:
        raise StoreError("--database-password-file needs --database")
    if "admin_password_file" in values and not login:
        raise StoreError("--admin-password-file needs --login")


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()
