"""What is known of a running search, folded from its journal events; and when it may end."""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from search.confirm_progress import confirm_left_s
from search.confirmation import ConfirmationFold
from search.outcome import INTERRUPTED
from search.spec import SearchSpec
from trainable.config import BEST_OBJECTIVE, OBJECTIVE

RUNNING = "running"
_KEPT: Final = ("best/", "time/", OBJECTIVE, "val/micro_f1", "val/macro_f1")
"""Beginnings of the metrics' names that a trial keeps when it is over: most have thirty more."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialState:
    """One trial so far."""

    number: int
    params: Mapping[str, Any]
    started: float
    """Unix seconds."""
    ended: float | None = None
    status: str = RUNNING
    """`running`, an end status, or `interrupted`."""
    reason: str = ""
    epoch: int = 0
    """Epochs done."""
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Of the last epoch; of a trial that ended what a table shows."""
    curve: tuple[float, ...] = ()
    """The objective, epoch by epoch."""
    best_macro: float = 0.0
    """Macro-F1 at the best epoch."""

    @property
    def is_running(self) -> bool:
        """Whether it trains now."""
        return self.status == RUNNING

    @property
    def is_over(self) -> bool:
        """Whether it ended by itself, by ASHA or by failure: not by an interruption."""
        return self.status not in (RUNNING, INTERRUPTED)

    @property
    def best(self) -> float:
        """The objective of the best epoch; -1 before the first."""
        return self.metrics.get(BEST_OBJECTIVE, -1.0)

    @property
    def epoch_s(self) -> float | None:
        """Seconds per epoch, as last measured."""
        return self.metrics.get("time/epoch_s")


class ProgressState:
    """One search so far; `apply` takes in what happens next.

    Changed in place, so that an event costs the same after 10,000 trials as after ten; two threads
    must take turns.

    Args:
        spec: Of the search.
    """

    def __init__(self, spec: SearchSpec) -> None:
        self.spec = spec
        self.attempt_started: float | None = None
        """Unix seconds; None before the first event."""
        self.clock_started: float | None = None
        """Unix seconds of this attempt's first trial: from here the time budget counts."""
        self.status = ""
        """How the attempt ended; "" before that."""
        self.reason = ""
        self.confirming = ConfirmationFold()
        """What was said of a confirmation."""
        self.best: TrialState | None = None
        """The trial with the highest objective; ties: the lower number."""
        self.trials: dict[int, TrialState] = {}
        self._running: dict[int, None] = {}
        self._ended: dict[int, None] = {}
        self._counts: Counter[str] = Counter()
        self._epoch_s = _Mean()
        self._lasted_s = _Mean()

    @property
    def running(self) -> list[TrialState]:
        """Trials that run now, by number."""
        return [self.trials[number] for number in sorted(self._running)]

    @property
    def ended(self) -> list[TrialState]:
        """Trials that ended by themselves, by ASHA or by failure; in the order of their ends."""
        return [self.trials[number] for number in self._ended]

    @property
    def num_ended(self) -> int:
        """How many those are."""
        return len(self._ended)

    @property
    def counts(self) -> dict[str, int]:
        """Trials by status; those that run come last."""
        counts = {status: count for status, count in self._counts.items() if count}
        running = counts.pop(RUNNING, 0)
        return counts | ({RUNNING: running} if running else {})

    @property
    def epoch_s(self) -> float | None:
        """Seconds per epoch, the mean of the trials; None before the first epoch."""
        return self._epoch_s.value

    @property
    def lasted_s(self) -> float | None:
        """Seconds of a trial that ended, the mean; None before the first end."""
        return self._lasted_s.value

    def elapsed_s(self, now: float) -> float:
        """Seconds since this attempt began."""
        return 0.0 if self.attempt_started is None else max(0.0, now - self.attempt_started)

    def put(self, trial: TrialState) -> None:
        """A trial as it is from now on."""
        before = self.trials.get(trial.number)
        if before is not None:
            self._count(before, -1)
        self.trials[trial.number] = trial
        self._count(trial, 1)
        for numbers, member in ((self._running, trial.is_running), (self._ended, trial.is_over)):
            if member:
                numbers.setdefault(trial.number)
            else:
                numbers.pop(trial.number, None)
        self._look_for_best(trial)

    def _look_for_best(self, changed: TrialState) -> None:
        before = self.best
        if before is None or _rank(changed) >= _rank(before):
            best = changed
        elif before.number == changed.number:  # it begins anew: another one may lead
            best = max(self.trials.values(), key=_rank)
        else:
            best = before
        self.best = best if _has_best(best) else None

    def _count(self, trial: TrialState, sign: int) -> None:
        self._counts[trial.status] += sign
        if trial.epoch_s is not None:
            self._epoch_s.add(trial.epoch_s, sign)
        if trial.is_over and trial.ended is not None and trial.epoch > 0:
            self._lasted_s.add(trial.ended - trial.started, sign)


class _Mean:
    """Of values that come and go."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, value: float, sign: int) -> None:
        self._sum += sign * value
        self._count += sign

    @property
    def value(self) -> float | None:
        return self._sum / self._count if self._count else None


def apply(state: ProgressState, event: Mapping[str, Any]) -> ProgressState:
    """The same state after `event`; events of unknown kinds or trials change nothing."""
    trial = state.trials.get(event.get("trial", -1))
    match event["event"]:
        case "search_started":
            for left in state.running:
                state.put(dataclasses.replace(left, status=INTERRUPTED))
            state.attempt_started, state.clock_started = event["time"], None
            state.status = state.reason = ""
        case "search_ended":
            state.status, state.reason = event["status"], event["reason"]
        case "trial_started":
            number, started = event["trial"], event["time"]
            state.put(TrialState(number=number, params=event["params"], started=started))
            if state.clock_started is None:
                state.clock_started = started
        case "epoch" if trial:
            state.put(_after_epoch(trial, event))
        case "trial_restarted" if trial:
            state.put(dataclasses.replace(trial, epoch=0, metrics={}, curve=(), best_macro=0.0))
        case "trial_ended" if trial:
            state.put(
                dataclasses.replace(
                    trial,
                    status=event["status"],
                    reason=event["reason"],
                    ended=event["time"],
                    metrics={k: v for k, v in trial.metrics.items() if k.startswith(_KEPT)},
                )
            )
        case _:
            state.confirming = state.confirming.after(event)
    return state


def _rank(trial: TrialState) -> tuple[bool, float, int]:
    """A trial without a best epoch stands below all others."""
    return (_has_best(trial), trial.best, -trial.number)


def _has_best(trial: TrialState) -> bool:
    return bool(trial.metrics.get("best/epoch"))


def eta_s(state: ProgressState, now: float | None = None) -> float | None:
    """Seconds until the last trial ends, as far as can be told; None before the first epoch.

    A trial to come is taken to last as long as those that ended did on average, or, before one
    ended, as long as all its epochs at the present speed: until then the estimate is the longest
    that it can be, since ASHA shortens trials. Time that Ray takes to start and the test
    evaluation are not in it, nor is a confirmation, which has an estimate of its own once it runs.
    """
    now = time.time() if now is None else now
    confirmation = state.confirming.confirmation
    if confirmation is not None and confirmation.left and state.num_ended >= state.spec.trials:
        return confirm_left_s(confirmation, state.spec.max_concurrent)
    epoch_s, mean_s = state.epoch_s, state.lasted_s
    if epoch_s is None:
        return None
    if mean_s is None:
        mean_s = state.spec.longest.epochs * epoch_s
    left = [_left_s(trial, state.spec, epoch_s, mean_s, now) for trial in state.running]
    to_come = max(0, state.spec.trials - state.num_ended - len(left))
    lanes = max(1, min(state.spec.max_concurrent, len(left) + to_come))
    eta = max([sum(left) + to_come * mean_s, *(lanes * seconds for seconds in left)]) / lanes
    if state.spec.time_budget_s is not None and state.clock_started is not None:
        eta = min(eta, max(0.0, state.clock_started + state.spec.time_budget_s - now))
    return eta


def _after_epoch(trial: TrialState, event: Mapping[str, Any]) -> TrialState:
    metrics = event["metrics"]
    is_best = metrics.get("best/epoch") == event["epoch"]
    return dataclasses.replace(
        trial,
        epoch=event["epoch"],
        metrics=metrics,
        curve=(*trial.curve, metrics.get(OBJECTIVE, 0.0)),
        best_macro=metrics.get("val/macro_f1", 0.0) if is_best else trial.best_macro,
    )


def _left_s(
    trial: TrialState, spec: SearchSpec, epoch_s: float, mean_s: float, now: float
) -> float:
    """Of a running trial: to the average length of a trial, or, past it, to its last epoch."""
    own = trial.epoch_s or epoch_s
    whole = (spec.longest.epochs - trial.epoch) * own
    on_average = mean_s - (now - trial.started)
    return min(whole, on_average) if on_average > 0 and math.isfinite(on_average) else whole
