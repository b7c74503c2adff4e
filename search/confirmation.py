"""What the journal says of a confirmation: the best configurations, trained again with other seeds.

A search's best score is the highest of many, so it flatters its configuration, and the seed that
all trials share is part of that luck. So the candidates - the K best and the paper's values - are
each trained to the end with S seeds that the search has not used, the same S for all.

The choice is among candidates on seeds that all of them were trained with. A candidate of which
one of those runs broke down is out: nobody wants a configuration that trains only sometimes. The
model that is exported and scored is the winner's with the first of the seeds: fixed beforehand,
not picked for its score.
"""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

from search.paired import Comparison, compare, spread
from trainable.config import BEST_OBJECTIVE

LEAST_SEEDS: Final = 2
"""Below that there is no spread."""
MOST_SEEDS: Final = 100
DEFAULT_SEEDS: Final = 3
SEEDS_ALONE: Final = "--seeds is for --confirm K: say how many configurations to confirm"

Pair = tuple[int, int]
"""Trial and seed."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmRun:
    """One candidate trained with one seed, as far as it came."""

    trial: int
    seed: int
    status: str = ""
    """One of `search.journal.END_STATUSES`; "": it has not ended."""
    reason: str = ""
    epochs: tuple[Mapping[str, Any], ...] = ()
    """Metrics of each finished epoch, ascending, each epoch once."""
    started: float = 0.0
    """Unix seconds."""
    ended: float | None = None

    @property
    def completed(self) -> bool:
        """Whether all its epochs were trained."""
        return self.status == "completed" and self.best_epoch is not None

    @property
    def objective(self) -> float:
        """Of its best epoch so far; 0 before the first."""
        return float(self.epochs[-1][BEST_OBJECTIVE]) if self.epochs else 0.0

    @property
    def best_epoch(self) -> int | None:
        """The first epoch with the best objective; None where no epoch could be scored."""
        return (int(self.epochs[-1].get("best/epoch", 0)) if self.epochs else 0) or None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """The last plan, and the runs that there are of it."""

    trials: tuple[int, ...]
    """The candidates' numbers in the search, its best first."""
    seeds: tuple[int, ...]
    """Ascending."""
    paper: int | None
    """The candidate with the paper's values; None: trial 0 was never begun."""
    runs: Mapping[Pair, ConfirmRun] = dataclasses.field(default_factory=dict)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All that is to be trained; seed by seed, so that an early end leaves whole ones."""
        return tuple((trial, seed) for seed in self.seeds for trial in self.trials)

    @property
    def left(self) -> tuple[Pair, ...]:
        """What has not ended."""
        return tuple(pair for pair in self.pairs if not self._status(pair))

    @property
    def compared(self) -> tuple[int, ...]:
        """The seeds with which every candidate has ended: the choice rests on these."""
        return tuple(
            seed for seed in self.seeds if all(self._status((trial, seed)) for trial in self.trials)
        )

    @property
    def decided(self) -> bool:
        """Whether there is enough to choose by, or will never be."""
        return len(self.compared) >= LEAST_SEEDS or not self.left

    def broken(self, trial: int) -> tuple[ConfirmRun, ...]:
        """The runs, of those compared, that did not train to the end: the candidate is out."""
        runs = (self.runs[trial, seed] for seed in self.compared)
        return tuple(run for run in runs if not run.completed)

    def scores(self, trial: int) -> dict[int, float]:
        """Objective of the best epoch by seed, over the compared seeds that were completed."""
        runs = (self.runs[trial, seed] for seed in self.compared)
        return {run.seed: run.objective for run in runs if run.completed}

    def mean(self, trial: int) -> float | None:
        """Mean objective over `scores`; None without any."""
        scores = self.scores(trial)
        return statistics.fmean(scores.values()) if scores else None

    def spread(self, trial: int) -> float | None:
        """Standard deviation (n - 1) of `scores`; None below two of them."""
        return spread(list(self.scores(trial).values()))

    @property
    def ranking(self) -> tuple[int, ...]:
        """The candidates that can win, the highest mean first; ties: the lower number."""
        if len(self.compared) < LEAST_SEEDS:
            return ()
        able = {trial: self.mean(trial) for trial in self.trials if not self.broken(trial)}
        return tuple(sorted(able, key=lambda trial: (-(able[trial] or 0.0), trial)))

    @property
    def winner(self) -> ConfirmRun | None:
        """The winner's run with the first compared seed; None: nothing is decided."""
        ranking = self.ranking
        return self.runs[ranking[0], self.compared[0]] if ranking else None

    def run_of_paper(self, seed: int) -> ConfirmRun | None:
        """The paper's values trained with `seed`; None: not to the end."""
        run = None if self.paper is None else self.runs.get((self.paper, seed))
        return run if run is not None and run.completed else None

    def compare(self, first: int, second: int) -> Comparison | None:
        """Two candidates on the seeds that both completed; None below two of them."""
        ours, theirs = self.scores(first), self.scores(second)
        seeds = [seed for seed in ours if seed in theirs]
        if len(seeds) < LEAST_SEEDS:
            return None
        return compare([ours[seed] for seed in seeds], [theirs[seed] for seed in seeds])

    def with_runs(self, runs: Mapping[Pair, ConfirmRun]) -> Self:
        """The same plan with those of `runs` that belong to it."""
        wanted = set(self.pairs)
        return dataclasses.replace(self, runs={p: run for p, run in runs.items() if p in wanted})

    def _status(self, pair: Pair) -> str:
        run = self.runs.get(pair)
        return "" if run is None else run.status


@dataclasses.dataclass(frozen=True, slots=True)
class ConfirmationFold:
    """Journal events in, the confirmation so far out."""

    plan: Confirmation | None = None
    runs: Mapping[Pair, ConfirmRun] = dataclasses.field(default_factory=dict)
    """Of earlier plans too: what is planned again is not trained again."""

    def after(self, event: Mapping[str, Any]) -> "ConfirmationFold":
        """With one event more; events of other kinds change nothing."""
        kind = event["event"]
        if not kind.startswith("confirm_"):
            return self
        if kind == "confirm_planned":
            trials, seeds = tuple(event["trials"]), tuple(event["seeds"])
            plan = Confirmation(trials=trials, seeds=seeds, paper=event["paper"])
            return ConfirmationFold(plan, self.runs)
        pair = event["trial"], event["seed"]
        runs = {**self.runs, pair: _after(self.runs.get(pair), event)}
        return ConfirmationFold(self.plan, runs)

    @property
    def confirmation(self) -> Confirmation | None:
        """None: nothing was planned, or the plan was given up."""
        if self.plan is None or not self.plan.trials:
            return None
        return self.plan.with_runs(self.runs)


def read_confirmation(events: Iterable[Mapping[str, Any]]) -> Confirmation | None:
    """What a journal says of the confirmation; None where none was asked for."""
    fold = ConfirmationFold()
    for event in events:
        fold = fold.after(event)
    return fold.confirmation


def seeds_to_confirm(seed: int, count: int) -> tuple[int, ...]:
    """The `count` seeds after the one that all trials of the search have.

    >>> seeds_to_confirm(0, 3)
    (1, 2, 3)
    """
    return tuple(range(seed + 1, seed + 1 + count))


def _after(run: ConfirmRun | None, event: Mapping[str, Any]) -> ConfirmRun:
    kind = event["event"]
    if run is None or kind == "confirm_started":
        # a start after an end or an interruption begins the run anew
        run = ConfirmRun(trial=event["trial"], seed=event["seed"], started=event["time"])
    if kind == "confirm_restarted":
        return dataclasses.replace(run, epochs=())
    if kind == "confirm_epoch":
        return dataclasses.replace(run, epochs=_with_epoch(run.epochs, event))
    if kind == "confirm_ended":
        return dataclasses.replace(
            run, status=event["status"], reason=event.get("reason", ""), ended=event["time"]
        )
    return run


def _with_epoch(
    epochs: Sequence[Mapping[str, Any]], event: Mapping[str, Any]
) -> tuple[Mapping[str, Any], ...]:
    """The last word on each epoch; what a restart went back behind is void."""
    epoch = int(event["epoch"])
    before = (row for row in epochs if row["epoch"] < epoch)
    return (*before, {**event["metrics"], "epoch": epoch})
