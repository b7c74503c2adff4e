"""`python -m mlflow_server`: serve the runs of a folder in the foreground until Ctrl-C.

Exit codes: 0 stopped, 1 the server cannot run (port taken, it died), 2 wrong usage or store.
"""

import signal
import sys
import threading
from collections.abc import Sequence

from mlflow_server.options import parser, server_settings
from mlflow_server.server import Server, ServerError, check_port
from mlflow_server.store import Store, StoreError
from mlflow_server.team import made_ready


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        settings = server_settings(options)
        check_port(settings.host, settings.port)
        Store(settings.runs_dir).prepare()
        settings = made_ready(settings, say=_say)
        server = Server(settings)
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


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _fail(error: Exception, code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
