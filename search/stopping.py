"""Ending a search before its last trial: Ctrl-C, SIGTERM, the time budget, a broken journal.

One way for all: a Tune stopper that says stop. Tune's own time budget and signal handlers leave
nobody the wiser (notes: the study's trials stay RUNNING, callbacks hear nothing).
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

import ray
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from search.budgets import TIME_STATUSES, Spending
from search.journal import BUDGET_STATUSES
from search.live_trials import LiveTrials
from search.outcome import is_finite

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopSwitch(Stopper):
    """Ends the search once it is thrown, or a budget is spent.

    The start of Ray and the imports of the first worker are not the user's budget: on a busy
    machine they took two minutes.
    """

    def __init__(self, spending: Spending | None = None) -> None:
        self.status = ""
        """Why the search ends early: a status of the search; "" while it goes on."""
        self.reason = ""
        self._spending = spending or Spending()
        self._trials: dict[str, str] = {}

    def note_running(self, running: int) -> None:
        """So many trials run now: the budgets count from the first such call."""
        self._spending.note_running(running)

    def release(self) -> tuple[str, str]:
        """The trials are over: what the budgets kept back may be spent now.

        Returns:
            Status and reason, where the trials' part was spent: both are forgotten here.
        """
        self._spending.release()
        if self.status not in TIME_STATUSES:
            return "", ""
        ended, self.status, self.reason = (self.status, self.reason), "", ""
        return ended

    def throw(self, status: str, reason: str) -> None:
        """End the search; the first reason stays."""
        if not self.status:
            self.status, self.reason = status, reason

    def stop_trial(self, ray_trial_id: str, reason: str) -> None:
        """End that trial at the end of its epoch, and no other."""
        self._trials[ray_trial_id] = reason

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial ends on `result`, which then says why (`search.outcome`).

        One with an objective of NaN does: ASHA would let it go on.
        """
        reason = self._trials.get(trial_id)
        if reason is not None:
            result["stop_reason"] = f"{reason} at epoch {result.get('epoch')}"
        return reason is not None or not is_finite(result)

    def stop_all(self) -> bool:
        """Whether Tune should stop every trial and return."""
        spent = None if self.status else self._spending.spent()
        if spent is not None:
            self.throw(*spent)
        return bool(self.status)


class ActorReaper(Callback):
    """Starts the switch's clock with the first trial, and kills busy actors once it is thrown.

    Tune would wait for them, 10 s. That is what they need to write their weights, one of which may
    win: when the time budget is spent, the test set is opened. Otherwise nobody waits.
    Also tells an actor when its trial is over.
    """

    def __init__(self, switch: StopSwitch) -> None:
        self._switch = switch
        self._actors: list[Any] = []
        self._open = LiveTrials()

    def __getstate__(self) -> dict[str, Any]:
        return {"_switch": self._switch, "_actors": [], "_open": LiveTrials()}

    def on_step_begin(self, *, trials: list[Trial], **_: Any) -> None:
        """Remember who runs: a stopped trial forgets its actor."""
        open_trials = self._open.update(trials)
        running = [trial for trial in open_trials if trial.status == Trial.RUNNING]
        self._switch.note_running(len(running))
        handles = (trial.temporary_state.ray_actor for trial in running)
        self._actors = [handle for handle in handles if handle is not None]

    def on_trial_complete(self, *, trial: Trial, **_: Any) -> None:
        """Tell the actor that the trial's last epoch counts: it may be the best one."""
        tell = getattr(trial.temporary_state.ray_actor, "trial_over", None)
        if tell is not None:
            tell.remote()

    def on_step_end(self, **_: Any) -> None:
        """By now every trial is stopped and its results are no longer awaited."""
        if self._switch.status not in ("", *BUDGET_STATUSES):
            for actor in self._actors:
                ray.kill(actor)
            self._actors = []


@contextlib.contextmanager
def signals_throw(switch: StopSwitch) -> Iterator[None]:
    """Within: the first Ctrl-C or SIGTERM throws `switch`, a second one raises KeyboardInterrupt.

    Does nothing outside the main thread, where Python allows no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1:
            raise KeyboardInterrupt
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        switch.throw("interrupted", name)

    # Tune puts a handler on SIGUSR1 and forgets it there
    before = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGUSR1)}
    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
