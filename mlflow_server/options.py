"""The command line: verbs, and the options that make a server's settings."""

import argparse
import ipaddress
from pathlib import Path
from typing import NoReturn

from mlflow_server.settings import LOOPBACK, ServerSettings
from mlflow_server.store import StoreError


def parser() -> argparse.ArgumentParser:
    """The parser of `python -m mlflow_server`."""
    made = _Parser(
        prog="python -m mlflow_server",
        description="Serve the MLflow store of a runs folder, on this machine, until Ctrl-C.",
    )
    add_server_options(made)
    return made


def add_server_options(made: argparse.ArgumentParser) -> None:
    """Add to `made` whatever `server_settings` reads: of the foreground, `start` and others."""
    made.add_argument("--port", type=int, default=5000, help="default: %(default)s")
    made.add_argument("--host", default=LOOPBACK, help="default: %(default)s")
    made.add_argument(
        "--runs-dir", type=Path, default=Path("runs"), help="of the searches; default: ./runs"
    )


def server_settings(options: argparse.Namespace) -> ServerSettings:
    """The settings that the options of `add_server_options` ask for.

    Raises:
        StoreError: an option is out of its range.
    """
    _check_address(options.host, options.port)
    return ServerSettings(
        runs_dir=options.runs_dir.absolute(), host=options.host, port=options.port
    )


def _check_address(host: str, port: int) -> None:
    if not 1 <= port <= 65535:
        raise StoreError(f"--port must lie in 1..65535, got {port}")
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise StoreError(
            f"--host must be of this machine (127.0.0.1, ::1 or localhost), got '{host}': this "
            "server has no login"
        )


class _Parser(argparse.ArgumentParser):
    """Wrong use is one line, without the block of usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message.removeprefix('argument ')}; see `{self.prog} --help`\n")
