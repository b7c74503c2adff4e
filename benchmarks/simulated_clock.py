"""A search without training: Tune's searcher and scheduler on a clock that only counts.

The calls, their order and what each result holds are those of Tune's controller (2.60): a new trial
is asked for when a worker is free and none is pending; the scheduler says which trial runs; a
result that is `done` ends its trial without a word of the scheduler, and a searcher hears of a
result only if the trial goes on. What is left out: the time that anything but an epoch takes, and
failures.
"""

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

Epochs = Iterator[tuple[float, dict[str, Any]]]
"""Seconds and result of each epoch of a trial; the last result is `done`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a simulated search took."""

    epochs: int
    """Finished epochs of all trials."""
    seconds: float
    trials: int
    """Trials that began."""
    reached: bool
    """Whether a result was what the search was after; else it ran out of trials."""


@dataclasses.dataclass(eq=False, kw_only=True, slots=True)
class SimulatedTrial:
    """What a scheduler sees of a trial."""

    trial_id: str
    config: Mapping[str, Any]
    epochs: Epochs
    status: str = "PENDING"
    last_result: dict[str, Any] = dataclasses.field(default_factory=dict)
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)


class SimulatedClock:
    """Runs one search.

    Args:
        searcher: A `ray.tune.search.Searcher`.
        scheduler: A `ray.tune.schedulers.TrialScheduler`.
        start: Gives the epochs of a trial from what the searcher suggested; None: no more trials.
        workers: Trials that run at once.
        trials: At most so many are asked for.
    """

    def __init__(
        self,
        searcher: Any,
        scheduler: Any,
        start: Callable[[Mapping[str, Any]], Epochs | None],
        *,
        workers: int,
        trials: int,
    ) -> None:
        self._searcher, self._scheduler, self._start = searcher, scheduler, start
        self._workers, self._left = workers, trials
        self._controller = SimpleNamespace(get_trials=lambda: self.trials)
        self._queue: list[tuple[float, int, SimulatedTrial, dict[str, Any]]] = []
        self._ticket = itertools.count()
        self.now = 0.0
        self.epochs = 0
        self.trials: list[SimulatedTrial] = []

    def run(self, reached: Callable[[Mapping[str, Any]], bool] = lambda _: False) -> Spent:
        """Until a result is what `reached` says, or nothing is left to do."""
        found = False
        self._fill()
        while self._queue and not found:
            self.now, _, trial, result = heapq.heappop(self._queue)
            self.epochs += 1
            found = reached(result)
            self._process(trial, result)
            self._fill()
        return Spent(
            epochs=self.epochs,
            seconds=self.now,
            trials=sum(trial.status != "PENDING" for trial in self.trials),
            reached=found,
        )

    def _fill(self) -> None:
        """Give every free worker a trial, if there is one."""
        while len(self._queue) < self._workers:
            if not any(trial.status == "PENDING" for trial in self.trials):
                self._add()
            trial = self._scheduler.choose_trial_to_run(self._controller)
            if trial is None:
                return
            trial.status = "RUNNING"
            self._train(trial)

    def _add(self) -> None:
        if self._left <= 0:
            return
        trial_id = f"t{len(self.trials):05d}"
        config = self._searcher.suggest(trial_id)
        epochs = None if config is None else self._start(config)
        if config is None or epochs is None:
            return
        self._left -= 1
        trial = SimulatedTrial(trial_id=trial_id, config=config, epochs=epochs)
        self.trials.append(trial)
        self._scheduler.on_trial_add(self._controller, trial)

    def _train(self, trial: SimulatedTrial) -> None:
        seconds, result = next(trial.epochs)
        heapq.heappush(self._queue, (self.now + seconds, next(self._ticket), trial, result))

    def _process(self, trial: SimulatedTrial, result: dict[str, Any]) -> None:
        decision = "STOP"
        if not result["done"]:
            decision = self._scheduler.on_trial_result(self._controller, trial, result)
        if decision != "STOP":
            self._searcher.on_trial_result(trial.trial_id, result)
        trial.last_result = result
        trial.history.append(result)
        if decision == "CONTINUE":
            self._train(trial)
        elif decision == "PAUSE":
            trial.status = "PAUSED"
        else:
            trial.status = "TERMINATED"
            self._scheduler.on_trial_complete(self._controller, trial, result)
            self._searcher.on_trial_complete(trial.trial_id, result=result)
