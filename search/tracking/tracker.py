"""The driver's side of tracking: starts the process that sends, hears of it, ends it."""

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from search.credentials import without_credentials
from search.tracking.check import default_tracking_uri
from search.tracking.links import (
    nested_link,
    search_link,
    trials_link,
    view_link,
    where_to_look,
)
from search.tracking.recording import State

_GRACE_S: Final = 5.0
"""For the process to end by itself, after the time that it was given."""
_RESTART_S: Final = 30.0
"""Before another one takes the place of one that died: memory may be short."""
_ROOT: Final = Path(__file__).resolve().parents[2]

_log = logging.getLogger(__name__)


class Tracker:
    """Has a search folder replayed into MLflow while the search runs; never raises.

    The work is done in a process of its own, `search.tracking.__main__`, which reads the journal:
    the driver has nothing to do for it but to start it, and to wait for what is left at the end.

    Args:
        folder: the search folder; need hold nothing yet.
        tracking_uri: of the store; None: `sqlite:///RUNS_DIR/mlflow.db`.
        report: called with one line when tracking fails for the first time, when it works again,
            and at the end if something is unsent; from another thread. None: a log warning.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tracking_uri: str | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self._folder = folder.absolute()
        self._uri = tracking_uri or default_tracking_uri(self._folder.parent)
        self._report = report or _log.warning
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._orders = threading.Lock()
        self._closing = threading.Event()
        self._timeout_s = 0.0
        self._ready = threading.Event()
        self._state = State()
        self._failing = False
        self._sent = False

    def start(self) -> None:
        """Start the process, in milliseconds, and only once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
            self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """Have what is left sent, at most for `timeout_s`; False if something is unsent."""
        if self._thread is None:
            return True
        with self._orders:
            self._timeout_s = timeout_s
            self._closing.set()
            self._order({"close": timeout_s})
        self._thread.join(timeout_s + _GRACE_S)
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()  # stuck where no time-out reaches, such as a dead network disk
            self._thread.join(_GRACE_S)
        if not self._sent:
            self._tell(
                f"MLflow: {self._store} has not recorded everything; send the rest with "
                f"`python -m search sync {self._folder.name}`"
            )
        return self._sent

    def wait_until_ready(self, timeout_s: float) -> bool:
        """Wait until the run of the search exists, so that `links` is complete."""
        return self._ready.wait(timeout_s)

    @property
    def links(self) -> tuple[str, ...]:
        """Lines to print: where to look, and for a database the command that serves it."""
        state = self._state
        base, command = where_to_look(self._uri, self._folder.parent)
        lines = [] if command is None else [command]
        experiment, run = state.experiment_id, state.run_id
        if experiment is None:
            return (*lines, base)
        link = view_link if state.has_view else trials_link
        lines.append(link(base, experiment, state.search_id))
        lines.append(search_link(base, experiment, run) if run else nested_link(base, experiment))
        return tuple(lines)

    @property
    def _store(self) -> str:
        return without_credentials(self._uri) or ""

    def _run(self) -> None:
        while not self._sent:
            try:
                code = self._listen()
                told = f"its process ended with code {code}"
            except OSError as error:
                told = f"no process for it: {error.strerror or error}"
            if self._sent or self._closing.is_set():
                return
            self._hear(State(problem=told))
            if self._closing.wait(_RESTART_S):
                return

    def _listen(self) -> int:
        """One process from its start to its end; returns its exit code."""
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        with subprocess.Popen(
            _command(self._folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            process_group=0,  # the terminal's Ctrl-C is the driver's
        ) as process:
            with self._orders:
                self._process = process
                self._order({"tracking_uri": self._uri})
                if self._closing.is_set():
                    self._order({"close": self._timeout_s})
            assert process.stdout is not None, "a pipe"
            for line in process.stdout:
                self._take(json.loads(line))
            return process.wait()

    def _order(self, order: dict[str, Any]) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # it is dead: _run tells
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.flush()

    def _take(self, message: dict[str, Any]) -> None:
        if "sent" in message:
            self._sent = bool(message["sent"])
        else:
            self._hear(State(**message))

    def _hear(self, state: State) -> None:
        if state.problem:
            if not self._failing:
                self._tell(
                    f"MLflow: {self._store} does not record: {state.problem}; the search goes "
                    "on, what is missing is sent later"
                )
            self._failing = True
            return
        if self._failing:
            self._tell(f"MLflow: {self._store} records again; everything was sent")
        self._failing, self._state = False, state
        self._ready.set()

    def _tell(self, line: str) -> None:
        try:
            self._report(line)
        except Exception:  # noqa: BLE001 - nothing of tracking may reach the search
            _log.exception("the report of a tracking problem failed")


def _command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "search.tracking", str(folder)]
