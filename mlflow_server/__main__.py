"""`python -m mlflow_server`: serve the runs of a folder in the foreground until Ctrl-C.

Exit codes: 0 stopped, 1 the server cannot run (port taken, it died), 2 wrong usage or store.
"""

import argparse
import ipaddress
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mlflow_server.server import Server, ServerError, check_port
from mlflow_server.settings import LOOPBACK, ServerSettings
from mlflow_server.store import StoreError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _check_address(options.host, options.port)
        check_port(options.host, options.port)
        settings = ServerSettings(
            runs_dir=options.runs_dir.absolute(), host=options.host, port=options.port
        )
        server = Server(settings)
        server.store.prepare()
        return _serve(server)
    except StoreError as error:
        return _fail(error, 2)
    except ServerError as error:
        return _fail(error, 1)


def _serve(server: Server) -> int:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    try:
        with server.store.initialisation_lock():
            server.start()
            if not server.wait_until_healthy(stopping=stopping.is_set):
                return 0
        _say(f"MLflow serves {server.store.runs_dir} at {server.url} (Ctrl-C stops it)")
        while not stopping.wait(0.5):
            if server.exit_code() is not None:
                raise ServerError(f"the MLflow server ended by itself; see {server.store.log}")
        return 0
    finally:
        server.stop()


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


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m mlflow_server",
        description="Serve the MLflow store of a runs folder, on this machine, until Ctrl-C.",
    )
    parser.add_argument("--port", type=int, default=5000, help="default: %(default)s")
    parser.add_argument("--host", default=LOOPBACK, help="default: %(default)s")
    parser.add_argument(
        "--runs-dir", type=Path, default=Path("runs"), help="of the searches; default: ./runs"
    )
    return parser


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _fail(error: Exception, code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
