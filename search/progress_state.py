"""What is known of a running search, folded from its journal events; and when it may end."""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from search.confirm_progress import confirm_left_s
from search.confirmation import ConfirmationFold
from search.outcome import INTERRUPTED
from search.spec import SearchSpec
from trainable.config import BEST_OBJECTIVE, OBJECTIVE

RUNNING = "running"


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
    """Of the last epoch."""
    curve: tuple[float, ...] = ()
    """The objective, epoch by epoch."""
    best_macro: float = 0.0
    """Macro-F1 at the best epoch."""

    @property
    def best(self) -> float:
        """The objective of the best epoch; -1 before the first."""
        return self.metrics.get(BEST_OBJECTIVE, -1.0)

    @property
    def epoch_s(self) -> float | None:
        """Seconds per epoch, as last measured."""
        return self.metrics.get("time/epoch_s")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ProgressState:
    """One search so far."""

    spec: SearchSpec
    attempt_started: float | None = None
    """Unix seconds; None before the first event."""
    clock_started: float | None = None
    """Unix seconds of this attempt's first trial: from here the time budget counts."""
    trials: Mapping[int, TrialState] = dataclasses.field(default_factory=dict)
    confirming: ConfirmationFold = dataclasses.field(default_factory=ConfirmationFold)
    """What was said of a confirmation."""
    status: str = ""
    """How the attempt ended; "" before that."""
    reason: str = ""

    @property
    def running(self) -> list[TrialState]:
        """Trials that run now, by number."""
        return [trial for trial in self.trials.values() if trial.status == RUNNING]

    @property
    def ended(self) -> list[TrialState]:
        """Trials that ended by themselves, by ASHA or by failure; in the order of their ends."""
        over = (t for t in self.trials.values() if t.status not in (RUNNING, INTERRUPTED))
        return sorted(over, key=lambda trial: trial.ended or 0.0)

    @property
    def best(self) -> TrialState | None:
        """The trial with the highest objective; ties: the lower number."""
        scored = [trial for trial in self.trials.values() if trial.metrics.get("best/epoch")]
        return max(scored, key=lambda trial: (trial.best, -trial.number), default=None)

    @property
    def counts(self) -> dict[str, int]:
        """Trials by status."""
        return dict(Counter(trial.status for trial in self.trials.values()))

    def elapsed_s(self, now: float) -> float:
        """Seconds since this attempt began."""
        return 0.0 if self.attempt_started is None else max(0.0, now - self.attempt_started)


def apply(state: ProgressState, event: Mapping[str, Any]) -> ProgressState:
    """The state after `event`; events of unknown kinds or trials change nothing."""
    trials = dict(state.trials)
    trial = trials.get(event.get("trial", -1))
    match event["event"]:
        case "search_started":
            for number, left in trials.items():
                if left.status == RUNNING:
                    trials[number] = dataclasses.replace(left, status=INTERRUPTED)
            return dataclasses.replace(
                state,
                trials=trials,
                attempt_started=event["time"],
                clock_started=None,
                status="",
                reason="",
            )
        case "search_ended":
            return dataclasses.replace(state, status=event["status"], reason=event["reason"])
        case "trial_started":
            number = event["trial"]
            trials[number] = TrialState(
                number=number, params=event["params"], started=event["time"]
            )
            if state.clock_started is None:
                state = dataclasses.replace(state, clock_started=event["time"])
        case "epoch" if trial:
            trials[trial.number] = _after_epoch(trial, event)
        case "trial_restarted" if trial:
            trials[trial.number] = dataclasses.replace(
                trial, epoch=0, metrics={}, curve=(), best_macro=0.0
            )
        case "trial_ended" if trial:
            trials[trial.number] = dataclasses.replace(
                trial, status=event["status"], reason=event["reason"], ended=event["time"]
            )
        case _:
            return dataclasses.replace(state, confirming=state.confirming.after(event))
    return dataclasses.replace(state, trials=trials)


def eta_s(state: ProgressState, now: float | None = None) -> float | None:
    """Seconds until the last trial ends, as far as can be told; None before the first epoch.

    A trial to come is taken to last as long as those that ended did on average, or, before one
    ended, as long as all its epochs at the present speed: until then the estimate is the longest
    that it can be, since ASHA shortens trials. Time that Ray takes to start and the test
    evaluation are not in it, nor is a confirmation, which has an estimate of its own once it runs.
    """
    now = time.time() if now is None else now
    confirmation = state.confirming.confirmation
    if confirmation is not None and confirmation.left and len(state.ended) >= state.spec.trials:
        return confirm_left_s(confirmation, state.spec.max_concurrent)
    timed = [trial.epoch_s for trial in state.trials.values() if trial.epoch_s is not None]
    if not timed:
        return None
    epoch_s = sum(timed) / len(timed)
    lasted = [t.ended - t.started for t in state.ended if t.ended is not None and t.epoch > 0]
    mean_s = sum(lasted) / len(lasted) if lasted else state.spec.longest.epochs * epoch_s
    left = [_left_s(trial, state.spec, epoch_s, mean_s, now) for trial in state.running]
    to_come = max(0, state.spec.trials - len(state.ended) - len(left))
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
