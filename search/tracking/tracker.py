"""A daemon thread that keeps a tracking store up to date with a search folder."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from search.credentials import scrub, without_credentials
from search.lock import is_live
from search.tracking.check import database_path
from search.tracking.links import (
    LOCAL_SERVER,
    nested_link,
    search_link,
    server_command,
    trials_link,
    view_link,
)
from search.tracking.replay import Replay
from trainable.errors import one_line

_GATHER_S: Final = 0.5  # events that come close together travel in one request
_RETRY_S: Final = (2.0, 5.0, 15.0, 30.0)
_CLOSING_RETRY_S: Final = 0.5
_GIVE_UP_CLOSING_S: Final = 5.0  # of failures: a dead server must not hold up the end
_MAX_REASON: Final = 300

_log = logging.getLogger(__name__)


class Tracker:
    """Replays a search folder into MLflow while the search runs; never raises, never blocks it.

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
        self._replay = Replay(folder.absolute(), tracking_uri)
        self._report = report or _log.warning
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._deadline = 0.0
        self._failures = 0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; at once, and only once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
            self._thread.start()

    def on_event(self, event: Mapping[str, Any]) -> None:  # noqa: ARG002 - the journal has it
        """A listener of the search: there is something new in the journal."""
        self._wake.set()

    def close(self, timeout_s: float) -> bool:
        """Send what is left, at most for `timeout_s`; False if something is unsent."""
        if self._thread is None:
            return True
        patience_s = min(timeout_s, _GIVE_UP_CLOSING_S) if self._failures else timeout_s
        self._deadline = time.monotonic() + patience_s
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)
        sent = not self._thread.is_alive() and not self._failures
        if not sent:
            self._tell(
                f"MLflow: {self._store} has not recorded everything; resume the search to send "
                "the rest"
            )
        return sent

    def wait_until_ready(self, timeout_s: float) -> bool:
        """Wait until the run of the search exists, so that `links` is complete."""
        return self._ready.wait(timeout_s)

    @property
    def links(self) -> tuple[str, ...]:
        """Lines to print: where to look, and for a database the command that serves it."""
        sender = self._replay.sender
        lines = []
        database = database_path(self._replay.uri)
        if database is not None:
            lines.append(server_command(database, self._replay.uri, self._replay.folder.parent))
        base = LOCAL_SERVER if database else self._store.rstrip("/")
        if sender is None or sender.experiment_id is None:
            return (*lines, base)
        experiment, run = sender.experiment_id, sender.run_id(None)
        link = view_link if sender.has_view else trials_link
        lines.append(link(base, experiment, sender.search_id))
        lines.append(search_link(base, experiment, run) if run else nested_link(base, experiment))
        return tuple(lines)

    @property
    def _store(self) -> str:
        return without_credentials(self._replay.uri) or ""

    def _run(self) -> None:
        while True:
            closing = self._closing.is_set()
            self._attempt()
            if closing and (not self._failures or time.monotonic() > self._deadline):
                return
            self._pause()

    def _pause(self) -> None:
        if self._closing.is_set():
            time.sleep(_CLOSING_RETRY_S)
        elif self._failures:
            self._closing.wait(_RETRY_S[min(self._failures, len(_RETRY_S)) - 1])
        else:
            self._wake.wait()
            self._wake.clear()
            self._closing.wait(_GATHER_S)

    def _attempt(self) -> None:
        try:
            self._replay.advance()
        except Exception as error:  # noqa: BLE001 - whatever it is, the search goes on
            self._failures += 1
            if self._failures == 1:
                reason = scrub(one_line(error), self._replay.uri)
                self._deadline = min(self._deadline, time.monotonic() + _GIVE_UP_CLOSING_S)
                self._tell(
                    f"MLflow: {self._store} does not record: {reason[:_MAX_REASON]}; the "
                    "search goes on, what is missing is sent later"
                )
        else:
            if self._failures:
                self._tell(f"MLflow: {self._store} records again; everything was sent")
            self._failures = 0
            if self._replay.sender is not None:
                self._ready.set()

    def _tell(self, line: str) -> None:
        try:
            self._report(line)
        except Exception:  # noqa: BLE001 - nothing of tracking may reach the search
            _log.exception("the report of a tracking problem failed")


def sync(folder: Path, *, tracking_uri: str | None = None) -> int:
    """Replay a search folder as it is; if no driver is at work there, what ran was interrupted.

    Returns:
        The number of the search's runs in the store.

    Raises:
        Exception: whatever MLflow raises; the next call sends what is missing.
    """
    folder = folder.absolute()
    replay = Replay(folder, tracking_uri)
    replay.advance(final=not is_live(folder))
    return 0 if replay.sender is None else replay.sender.num_runs
