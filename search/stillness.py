"""When a search that nothing is heard of has hung. Pure: told of events and of the time.

A search is heard of by its events. How long it may be silent depends on how long its epochs take,
which only it can tell: before the first epoch's end the limit is one that no honest epoch reaches,
also on a cluster where a trial waits for its turn.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

SHORTEST_LIMIT_S: Final = 600.0
EPOCHS_LONG: Final = 20
"""The limit, in longest epochs seen."""
FIRST_EPOCH_LIMIT_S: Final = 6 * 3600.0
EPOCH_EVENTS: Final = ("epoch", "confirm_epoch")


class Stillness:
    """How long nothing was heard, and whether that is too long.

    Args:
        limit_s: What the user said; None: from the epochs; 0: no limit.
        epochs: Of the longest trial: so many may be trained again, unheard, before the test set.
        now: Seconds on the clock of all later calls.
        past: Events of earlier attempts, whose epochs count.
    """

    def __init__(
        self,
        limit_s: float | None,
        *,
        epochs: int,
        now: float,
        past: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self._said_s = limit_s
        self._epochs = epochs
        self._heard = now
        self._running: dict[tuple[int, int | None], float] = {}
        """When each running trial, or its confirmation with a seed, was heard of last."""
        self._longest_s = 0.0
        for event in past:
            self._measure(event)

    def note(self, event: Mapping[str, Any], now: float) -> None:
        """Something happened."""
        self._heard = now
        run = (event.get("trial", -1), event.get("seed"))  # a seed: of a run that confirms
        match event["event"].removeprefix("trial_").removeprefix("confirm_"):
            case "started" | "restarted":
                self._running[run] = now
            case "epoch":
                # longer than the run says where its worker had to start first
                self._longest_s = max(self._longest_s, now - self._running.get(run, now))
                self._running[run] = now
                self._measure(event)
            case "ended":
                self._running.pop(run, None)

    @property
    def limit_s(self) -> float | None:
        """Seconds that may pass now without an event; None: any number."""
        if self._said_s == 0:
            return None
        if self._said_s is not None:
            limit = self._said_s
        elif self._longest_s:
            limit = max(SHORTEST_LIMIT_S, EPOCHS_LONG * self._longest_s)
        else:
            limit = FIRST_EPOCH_LIMIT_S
        if self._running:
            return limit
        # Ray starts, or a worker for the test set; without its weights the winner is trained again
        return max(limit, SHORTEST_LIMIT_S) + self._epochs * self._longest_s

    def too_long(self, now: float) -> str:
        """Why the search counts as hung, for people; "" while it does not."""
        limit, silent = self.limit_s, now - self._heard
        if limit is None or silent < limit:
            return ""
        named = ", ".join(str(trial) for trial, _ in list(self._running)[:5])
        who = f"trial {named} was running" if named else "no trial was running"
        return f"nothing has moved for {silent:.0f} s (--hang-timeout {limit:.0f}): {who}"

    def _measure(self, event: Mapping[str, Any]) -> None:
        if event["event"] in EPOCH_EVENTS:
            self._longest_s = max(self._longest_s, event["metrics"].get("time/epoch_s", 0.0))
