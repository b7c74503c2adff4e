"""Optuna's TPE on the trials that matter: the best ones, and the latest of the others.

TPE compares the density of the best trials with that of all others. Optuna takes at most 25 as the
best, whatever their number, and lets the weight of the others fall linearly with their age; but it
goes through all of them several times for each proposal: 90 ms after 10,000 trials (docs/LOG.md).
Here the weight of an other ends after the latest 1,000. Up to then proposals are Optuna's.

Traded away: what is known of places that were tried long ago and were not good. Searches with
several scores to trade off (Pareto) see all trials: which are the best depends on all of them.
"""

import heapq
from collections.abc import Sequence
from typing import Any, Final

from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

MOST_OTHERS: Final = 1_000
_BEST: Final = 25
"""As many as Optuna's TPE takes at most."""


class RecentTPESampler(TPESampler):
    """TPE for one proposal: it looks at the study once.

    Args:
        most_others: How many trials besides the best ones it learns from; at least 250, so that
            Optuna takes as many for the best as it would of all.
        earlier: Trials of other searches, which it learns from too; not with several scores.
        options: Of Optuna's TPESampler.
    """

    def __init__(
        self,
        *,
        most_others: int = MOST_OTHERS,
        earlier: Sequence[FrozenTrial] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._earlier = list(earlier)
        self._most_others = most_others
        self._view: Any = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The settings that are sampled together."""
        seen = self._seen(study)
        # Optuna looks at the settings of each trial; those with the same ones say the same
        kinds: Any = seen.kinds() if isinstance(seen, _View) else seen
        return super().infer_relative_search_space(kinds, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Those settings, sampled."""
        return super().sample_relative(self._seen(study), trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Another setting, sampled."""
        return super().sample_independent(self._seen(study), trial, param_name, param_distribution)

    def _seen(self, study: Study) -> Any:
        if study._is_multi_objective():
            return study
        if self._view is None:
            known = [*self._earlier, *study.get_trials(deepcopy=False)]
            trials = that_matter(known, self._most_others)
            self._view = _View(study, trials)
        return self._view


class _View:
    """A study, but with some of its trials only."""

    def __init__(self, study: Study, trials: list[FrozenTrial]) -> None:
        self._study = study
        self._trials = trials

    def kinds(self) -> "_View":
        """With the first trial of each set of settings."""
        told = self._get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
        first: dict[frozenset[str], FrozenTrial] = {}
        for trial in told:
            first.setdefault(frozenset(trial.distributions), trial)
        return _View(self._study, list(first.values()))

    def _get_trials(
        self,
        deepcopy: bool = False,  # noqa: ARG002
        states: Any = None,
        use_cache: bool = False,  # noqa: ARG002
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


def that_matter(trials: list[FrozenTrial], most_others: int) -> list[FrozenTrial]:
    """Of the trials of a study that maximizes one score: those that TPE goes by, by number.

    The best are chosen as Optuna does: completed ones by their value, then, if there are too few,
    stopped ones by how far they came and their last value.
    """
    told = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if len(told) <= most_others:
        return trials
    complete = (trial for trial in told if trial.state == TrialState.COMPLETE)
    best = heapq.nsmallest(_BEST, complete, key=lambda trial: -_value(trial))
    if len(best) < _BEST:
        pruned = (trial for trial in told if trial.state == TrialState.PRUNED)
        best += heapq.nsmallest(_BEST - len(best), pruned, key=_order_of_stopped)
    chosen = {trial.number for trial in best}
    others = [trial for trial in told if trial.number not in chosen][-most_others:]
    chosen.update(trial.number for trial in others)
    running = TrialState.RUNNING
    return [trial for trial in trials if trial.number in chosen or trial.state == running]


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None, "a completed trial has one"
    return trial.value


def _order_of_stopped(trial: FrozenTrial) -> tuple[float, float]:
    if not trial.intermediate_values:
        return 1, 0.0
    step, value = max(trial.intermediate_values.items())
    return -step, -value
