"""A thread beside Tune's loop: takes stop requests, and notices a dead Ray head or a hung search.

What it finds ends the search as any other early end does, by the switch. Should the main thread
not take that (it may wait inside Ray for a head that is gone, until Ray ends the process after
60 s, without an exception), the thread tells the journal and ends the process itself: whoever
looks next knows why, and the guardian cleans up (search/guardian.py).
"""

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from search.console import Terminal
from search.events import EventLog
from search.journal import BUDGET_STATUSES
from search.spec import SearchSpec
from search.stillness import Stillness
from search.stop_requests import Request, take_requests
from search.stopping import StopSwitch
from trainable.errors import UserError, one_line

STOP_REASON: Final = "stopped by `search stop`"
STOP_TRIAL_REASON: Final = "by `search stop`"
_LOOK_S: Final = 1.0
_HEAD_EVERY_S: Final = 3.0
_CONNECT_S: Final = 3.0
_GONE_S: Final = 5.0
"""A private head that is gone does not come back ..."""
_GONE_CLUSTER_S: Final = 25.0
"""... a network may; Ray itself gives up after 60 s."""
_GRACE_S: Final = 20.0
"""For the main thread to end a search that hung ..."""
_GRACE_WITHOUT_HEAD_S: Final = 10.0
"""... and one whose head is gone: it waits inside Ray then, as far as we saw."""

_log = logging.getLogger(__name__)


class Overseer:
    """Watches one attempt at a search while its `with` block runs.

    Args:
        spec: Of the search.
        switch: Ends the search.
        events: Are listened to.
        past: Of earlier attempts.

    Raises:
        UserError: on leaving the block, where the head was dead or the search hung.
    """

    def __init__(
        self,
        spec: SearchSpec,
        switch: StopSwitch,
        events: EventLog,
        past: Sequence[dict[str, Any]] = (),
    ) -> None:
        self._spec, self._switch, self._events = spec, switch, events
        self._stillness = Stillness(
            spec.hang_timeout_s, epochs=spec.longest.epochs, now=time.monotonic(), past=past
        )
        self._running: dict[int, str] = {}
        """Ray's ids of the trials that run."""
        self._head = HeadProbe(private=spec.address is None)
        self._found = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="overseer", daemon=True)

    def __enter__(self) -> Self:
        self._events.listen(self._note)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._found and (error is None or isinstance(error, Exception)):
            raise UserError(
                f"{self._found}; continue with `python -m search resume {self._spec.name}`"
            ) from error

    def look(self, now: float) -> None:
        """One round: requests, then what may be wrong; `now` is time.monotonic()."""
        for request in take_requests(self._spec.folder):
            self._obey(request)
        gone = self._head.gone(now)
        if gone:
            self._end(gone, _GRACE_WITHOUT_HEAD_S)
        # one that the user ends is not heard of any more; one whose budget is spent is tested yet
        if self._switch.status in ("", *BUDGET_STATUSES):
            hung = self._stillness.too_long(now)
            if hung:
                self._end(hung, _GRACE_S)

    def _run(self) -> None:
        while not self._over.wait(_LOOK_S):
            try:
                self.look(time.monotonic())
            except Exception as error:  # noqa: BLE001  a folder that is gone: others tell of it
                _log.debug("overseer: %s", one_line(error))

    def _note(self, event: dict[str, Any]) -> None:
        self._stillness.note(event, time.monotonic())
        if event["event"] == "trial_started":
            self._running[event["trial"]] = event["ray_trial_id"]
        elif event["event"] == "trial_ended":
            self._running.pop(event["trial"], None)

    def _obey(self, request: Request) -> None:
        if request.trial is None:
            self._switch.throw("interrupted", STOP_REASON)
        elif request.trial in self._running:
            self._switch.stop_trial(self._running[request.trial], STOP_TRIAL_REASON)

    def _end(self, found: str, grace_s: float) -> None:
        self._found = found
        self._switch.throw("failed", found)
        if not self._over.wait(grace_s):
            self._give_up()

    def _give_up(self) -> NoReturn:
        """End the process; nothing of the main thread's clean-up happens."""
        with contextlib.suppress(Exception):
            self._events.emit("search_ended", status="failed", reason=self._found)
        with contextlib.suppress(Exception):
            Terminal().last_words(
                f"{self._found}; continue with `python -m search resume {self._spec.name}`"
            )
        os._exit(1)


class HeadProbe:
    """Whether the head of the connected Ray still takes connections."""

    def __init__(self, *, private: bool, address: Callable[[], str | None] | None = None) -> None:
        self._private = private
        self._address = address or _head_address
        self._next = 0.0
        self._missing_since: float | None = None

    def gone(self, now: float) -> str:
        """What to tell people of a head that is gone for good; "" as long as it is not."""
        if now < self._next:
            return ""
        self._next = now + _HEAD_EVERY_S
        address = self._address()
        if address is None or _takes_connections(address):
            self._missing_since = None
            return ""
        if self._missing_since is None:
            self._missing_since = now
        patience = _GONE_S if self._private else _GONE_CLUSTER_S
        if now - self._missing_since < patience:
            return ""
        if self._private:
            return "Ray's head process (gcs_server) is gone: killed, or out of memory"
        return f"the head of the Ray cluster at {address} has not answered for {patience:g} s"


def _head_address() -> str | None:
    """HOST:PORT; None while this process is not connected."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    return str(ray.get_runtime_context().gcs_address)


def _takes_connections(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True
