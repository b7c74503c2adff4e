"""Keeping a store up to date with a folder while a search runs: the loop of the sending process.

It looks at the folder once a second, since the driver has better things to do than to wake it.
"""

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Self

from search.tracking.lock import SendingLock
from search.tracking.reasons import is_timeout, plain
from search.tracking.replay import Replay
from search.tracking.store import be_more_patient, refresh_statistics

_LOOK_S: Final = 1.0  # events that come close together travel in one request
_RETRY_S: Final = (2.0, 5.0, 15.0, 30.0)
_CLOSING_RETRY_S: Final = 0.5
_GIVE_UP_CLOSING_S: Final = 5.0  # of failures: a dead server must not hold up the end


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """How recording goes: told when that changes."""

    problem: str = ""
    """Why the store does not record; "": it does."""
    experiment_id: str | None = None
    search_id: str = ""
    run_id: str | None = None
    """Of the search's run."""
    has_view: bool = False

    @classmethod
    def of(cls, replay: Replay) -> Self:
        """Of a replay that has sent what there was."""
        sender = replay.sender
        assert sender is not None, "there was something to send"
        return cls(
            experiment_id=sender.experiment_id,
            search_id=sender.search_id,
            run_id=sender.run_id(None),
            has_view=sender.has_view,
        )

    def as_json(self) -> dict[str, Any]:
        """For a line of JSON."""
        return dataclasses.asdict(self)


class Recording:
    """Replays a folder until it is told to come to an end; never raises.

    Args:
        replay: of the folder.
        tell: called when the first replay has succeeded, when one fails after a success, and when
            one succeeds after a failure.
    """

    def __init__(self, replay: Replay, tell: Callable[[State], None]) -> None:
        self._replay = replay
        self._tell = tell
        self._lock = SendingLock(replay.folder)
        self._closing = threading.Event()
        self._failures = 0
        self._ready = False
        self.deadline = float("inf")
        """When `run` gives up, in seconds of time.monotonic()."""

    def close(self, timeout_s: float) -> None:
        """Let `run` send what is left and return, soon if the store takes nothing now."""
        patience_s = min(timeout_s, _GIVE_UP_CLOSING_S) if self._failures else timeout_s
        self.deadline = min(self.deadline, time.monotonic() + patience_s)
        self._closing.set()

    def run(self) -> bool:
        """Record until closed; whether everything was sent."""
        try:
            while True:
                closing = self._closing.is_set()
                sent = self._attempt()
                if closing and sent and self._ready:
                    refresh_statistics(self._replay.uri)
                if closing and (sent or time.monotonic() > self.deadline):
                    return sent
                self._pause()
        finally:
            self._lock.release()

    def _pause(self) -> None:
        if self._closing.is_set():
            time.sleep(_CLOSING_RETRY_S)
        elif self._failures:
            self._closing.wait(_RETRY_S[min(self._failures, len(_RETRY_S)) - 1])
        else:
            self._closing.wait(_LOOK_S)

    def _attempt(self) -> bool:
        """Send what there is; False if something is left, or another sender is at work."""
        try:
            if not self._lock.acquire():
                return False
            self._replay.advance()
        except Exception as error:  # noqa: BLE001 - whatever it is, the search goes on
            self._fail(error)
            return False
        if self._replay.sender is not None and (self._failures or not self._ready):
            self._ready = True
            self._tell(State.of(self._replay))
        self._failures = 0
        return True

    def _fail(self, error: Exception) -> None:
        if is_timeout(error):
            be_more_patient()
        self._failures += 1
        if self._failures == 1:
            if self._closing.is_set():
                self.deadline = min(self.deadline, time.monotonic() + _GIVE_UP_CLOSING_S)
            self._tell(State(problem=plain(error, self._replay.uri)))
