"""One MLflow server process group: start, wait until it answers, stop all of it.

MLflow's own command exits with 0 when the port is taken, leaves its workers behind when it is
killed, and by default starts 15 processes; so the port is tried first, the group is ours to
signal, and one worker has to do.
"""

import contextlib
import ctypes
import http.client
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Final

from mlflow_server import bare, processes, schema
from mlflow_server.errors import ServerError as ServerError
from mlflow_server.logs import last_words
from mlflow_server.process_environment import bracketed, command, environment
from mlflow_server.secret_environment import secret_environment
from mlflow_server.settings import ServerSettings
from mlflow_server.store import Store

START_TIMEOUT_S: Final = 300.0  # 6 is usual; 100 were seen on two busy cores
SAFE_PATH: Final = {"PYTHONSAFEPATH": "1"}  # no code is imported from a runs folder
STOP_TIMEOUT_S: Final = 15.0
_REQUEST_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.1
_PR_SET_PDEATHSIG: Final = 1
_EXPERIMENTS: Final = "/api/2.0/mlflow/experiments/search?max_results=1"


def check_port(host: str, port: int) -> None:
    """Raise ServerError unless a server could listen on `host:port` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise ServerError(
                f"port {port} on {host} needs more rights: choose one above 1023 with --port"
            ) from None
        except OSError as error:
            raise ServerError(
                f"port {port} on {host} cannot be used ({error.strerror}): stop what listens "
                f"there, or choose another with --port, such as --port {port + 1}"
            ) from None


def status_of(host: str, port: int, path: str, timeout_s: float = _REQUEST_TIMEOUT_S) -> int | None:
    """The HTTP status of `GET path`; None where nothing answers."""
    # not urllib: that would ask a proxy for our own machine
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Server:
    """One server over one store; `stop` leaves nothing behind."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.store = Store(settings.runs_dir)
        self.token = secrets.token_hex(8)
        """Stands in the environment of all its processes; a name, no secret."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{bracketed(self.settings.host)}:{self.settings.port}"

    def warm_up(self) -> None:
        """Let MLflow be imported, where it can be, while its database is made; `start` follows."""
        if bare.is_possible(self.settings, schema.mlflow_version()):
            self._spawn(bare.command(self.settings, held=True), stdin=subprocess.PIPE)

    def start(self) -> None:
        """Start the process, in a session of its own."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), self._process.stdin as held:
                held.write(b"serve\n")
        elif bare.is_possible(self.settings, schema.mlflow_version()):
            self._spawn(bare.command(self.settings))
        else:
            self._spawn(command(self.settings))

    def _spawn(self, words: list[str], stdin: int = subprocess.DEVNULL) -> None:
        told = environment(self.settings) | secret_environment(self.settings)
        if bare.is_possible(self.settings, schema.mlflow_version()):
            told |= bare.environment(self.settings)
        with self.store.log.open("ab") as log:
            self._process = subprocess.Popen(
                words,
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **told, **SAFE_PATH, processes.TOKEN_NAME: self.token},
                cwd=self.store.runs_dir,  # MLflow reads ./mlruns and .env files
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def wait_until_healthy(self, *, stopping: Callable[[], bool]) -> bool:
        """Wait until it serves its store; False if `stopping` became true before.

        Raises:
            ServerError: the process ended, cannot open its store, or did not answer in time.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._serves():
            if stopping():
                return False
            if self.exit_code() is not None:
                raise ServerError(f"the MLflow server ended at once; {last_words(self.store.log)}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"the MLflow server did not answer in {START_TIMEOUT_S:.0f} s; "
                    f"{last_words(self.store.log)}"
                )
            time.sleep(_POLL_S)
        return True

    def exit_code(self) -> int | None:
        """Of the process; None while it runs."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> None:
        """SIGTERM, wait, then SIGKILL to whatever is left of the group."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        self._signal(signal.SIGKILL)
        process.wait()

    def _signal(self, number: int) -> None:
        assert self._process is not None, "only a started server is signalled"
        with contextlib.suppress(ProcessLookupError):  # the whole group is gone
            os.killpg(self._process.pid, number)

    def _serves(self) -> bool:
        host, port = self.settings.host, self.settings.port
        if status_of(host, port, "/health") != http.HTTPStatus.OK:
            return False
        if self.settings.login:  # the stores are open by then, and we have no user
            return True
        answer = status_of(host, port, _EXPERIMENTS)
        if answer == http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ServerError(
                f"the MLflow server cannot open its store; {last_words(self.store.log)}"
            )
        return answer is not None and answer < http.HTTPStatus.INTERNAL_SERVER_ERROR


def die_with_parent() -> None:
    """In a child: have the kernel send SIGTERM when its parent dies, even of SIGKILL (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
