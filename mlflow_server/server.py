"""One MLflow server process group: start, wait until it answers, stop all of it.

MLflow's own command exits with 0 when the port is taken, leaves its workers behind when it is
killed, and by default starts 15 processes; so the port is tried first, the group is ours to
signal, and one worker has to do.
"""

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mlflow_server.process_environment import bracketed, command, environment
from mlflow_server.secret_environment import secret_environment
from mlflow_server.settings import ServerSettings
from mlflow_server.store import Store

START_TIMEOUT_S: Final = 300.0  # 10 is usual; 100 were seen on two busy cores
STOP_TIMEOUT_S: Final = 15.0
_POLL_S: Final = 0.1
_LOG_LINES: Final = 5
_PR_SET_PDEATHSIG: Final = 1


class ServerError(Exception):
    """The server cannot run; the message is one line that says what to do."""


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


class Server:
    """One server over one store; `stop` leaves nothing behind."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.store = Store(settings.runs_dir)
        self.host = settings.host
        self.port = settings.port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{bracketed(self.host)}:{self.port}"

    def start(self) -> None:
        """Start the process, in a session of its own."""
        with self.store.log.open("ab") as log:
            self._process = subprocess.Popen(
                command(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    **environment(self.settings),
                    **secret_environment(self.settings),
                },
                cwd=self.store.runs_dir,  # MLflow reads ./mlruns and .env files
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def wait_until_healthy(self, *, stopping: Callable[[], bool]) -> bool:
        """Wait for the first answer; False if `stopping` became true before.

        Raises:
            ServerError: the process ended, or did not answer in time.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if stopping():
                return False
            if self.exit_code() is not None:
                raise ServerError(f"the MLflow server ended at once; {self._last_words()}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"the MLflow server did not answer in {START_TIMEOUT_S:.0f} s; "
                    f"{self._last_words()}"
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
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        self._signal(signal.SIGKILL)
        process.wait()

    def _signal(self, number: int) -> None:
        assert self._process is not None, "only a started server is signalled"
        with contextlib.suppress(ProcessLookupError):  # the whole group is gone
            os.killpg(self._process.pid, number)

    def _answers(self) -> bool:
        # not urllib: that would ask a proxy for our own machine
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _last_words(self) -> str:
        return f"{self.store.log} ends with: {_tail(self.store.log)}"


def _tail(path: Path) -> str:
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-_LOG_LINES:]) or "nothing"


def _die_with_parent() -> None:
    """In the child: have the kernel send SIGTERM when we die, even of SIGKILL (Linux only)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
