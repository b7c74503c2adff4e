"""What a search may spend, besides its number of trials: wall time, trial time, disk, patience.

Wall time counts from the first trial of an attempt; trial time (with one GPU a trial: GPU hours),
disk and patience over all attempts. Looked at between the steps of Tune's loop, so each can be
overrun by what happens between two looks. A budget that is spent ends the search as its last trial
would: the winner is scored.
"""

import dataclasses
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from trainable.config import BEST_OBJECTIVE

TIME_STATUSES: Final = ("time_budget", "compute_budget")
"""Of a search whose budget of time is spent."""
_STARTS: Final = frozenset({"trial_started", "confirm_started"})
_SIGNS: Final = frozenset({"epoch", "trial_ended", "confirm_epoch", "confirm_ended"})
_DISK_EVERY_S: Final = 10.0
_GIB: Final = 2**30


class Spending:
    """What one attempt has spent, and what it may.

    Args:
        folder: Of the search.
        wall_s: Seconds from the first trial of this attempt; None: no limit, as below.
        trial_s: Seconds of trials, summed over those that run side by side.
        trial_s_before: What earlier attempts spent of it.
        disk_gib: Of the search folder.
        part: Of both times; the rest is kept back until `release`.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        wall_s: float | None = None,
        trial_s: float | None = None,
        trial_s_before: float = 0.0,
        disk_gib: float | None = None,
        part: float = 1.0,
    ) -> None:
        self._folder = folder
        self._wall_s, self._trial_s, self._disk_gib = wall_s, trial_s, disk_gib
        self._spent_s = self._spent_before = trial_s_before
        self._part = part
        self._began: float | None = None
        self._running, self._looked = 0, 0.0
        self._disk_looked = -_DISK_EVERY_S

    def note_running(self, running: int) -> None:
        """So many trials run from now on."""
        now = time.monotonic()
        if running and self._began is None:
            self._began = now
        self._spent_s += self._running * (now - self._looked)
        self._running, self._looked = running, now

    def release(self) -> None:
        """The trials are over: nothing is kept back any more."""
        self.note_running(0)
        self._part = 1.0

    def spent(self) -> tuple[str, str] | None:
        """Status of the search and the reason, once a budget is spent."""
        now = time.monotonic()
        began = now if self._began is None else self._began
        if self._wall_s is not None and now >= began + self._part * self._wall_s:
            return "time_budget", f"the time budget of {self._seconds(self._wall_s)} is spent"
        if self._trial_s is not None and self._spent_s >= self._trials_limit(self._trial_s):
            return (
                "compute_budget",
                f"trials have run for the {self._seconds(self._trial_s)} they may",
            )
        if self._disk_gib is not None and now >= self._disk_looked + _DISK_EVERY_S:
            self._disk_looked = now
            used = folder_bytes(self._folder) / _GIB if self._folder else 0.0
            if used >= self._disk_gib:
                return (
                    "disk_budget",
                    f"the search folder holds {used:.2f} GiB of the {self._disk_gib:g} it may",
                )
        return None

    def _trials_limit(self, trial_s: float) -> float:
        """Earlier attempts have spent what they have: of the rest a part is kept back."""
        before = min(self._spent_before, trial_s)
        return before + self._part * (trial_s - before)

    def _seconds(self, budget_s: float) -> str:
        if self._part == 1.0:
            return f"{budget_s:g} s"
        return f"{budget_s:g} s, but for what is left to confirm the best,"


def folder_bytes(folder: Path) -> int:
    """What the files below a folder take; those that go meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def trial_seconds(events: Iterable[Mapping[str, Any]]) -> float:
    """Seconds that trials have run according to a journal, from start to last sign of life.

    The runs that confirm the best are trials too.
    """
    spans: dict[tuple[int, int | None], list[float]] = {}
    total = 0.0
    for event in events:
        run = event.get("trial", -1), event.get("seed")
        if event["event"] in _STARTS:
            first, last = spans.pop(run, (0.0, 0.0))
            total += last - first
            spans[run] = [event["time"], event["time"]]
        elif event["event"] in _SIGNS and run in spans:
            spans[run][1] = event["time"]
    return total + sum(last - first for first, last in spans.values())


@dataclasses.dataclass
class Plateau:
    """How many trials have ended since the best one so far; fed with journal events."""

    patience: int
    """Trials without a better one after which no more are proposed; 0: never."""
    best: float = float("-inf")
    since: int = 0
    _last: dict[int, float] = dataclasses.field(default_factory=dict)

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take in one event."""
        if event["event"] == "epoch":
            value = event["metrics"].get(BEST_OBJECTIVE)
            if value is not None:
                self._last[event["trial"]] = value
        elif event["event"] == "trial_restarted":
            self._last.pop(event["trial"], None)
        elif event["event"] == "trial_ended":
            value = self._last.pop(event["trial"], float("-inf"))
            if value > self.best:
                self.best, self.since = value, 0
            else:
                self.since += 1

    @property
    def reached(self) -> bool:
        """Whether the search should propose no more."""
        return bool(self.patience) and self.since >= self.patience
