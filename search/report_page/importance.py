"""How much each searched setting matters: functional ANOVA of the trials' ranks (Hutter 2014).

Scores are compared at one epoch that nearly all trials reached: ASHA leaves only the good ones any
longer, and what a stopped trial would have come to is not known. Ranks instead of scores, since a
single learning rate at which nothing is learnt would explain all of the variance of the scores.

With few trials the forest finds something in pure chance. So the same is done with the scores
shuffled among the trials, and a setting counts only above what that gives. What was traded away:
searches of more than `MOST_TRIALS` trials are rated by that many of them, evenly spaced.
"""

import dataclasses
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from search.results import SearchRecord, TrialRecord
from spaces.dimension import Dimension
from trainable.config import BEST_OBJECTIVE

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LEAST_TRIALS: Final = 10
MOST_TRIALS: Final = 100
_NEARLY_ALL: Final = 0.8
"""Of the trials that scored at all."""
_TREES: Final = 16
_SHUFFLES: Final = 5
_BROKEN: Final = ("failed", "out_of_memory")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """What came out."""

    shares: Mapping[str, float]
    """Of the variance of the ranks, by setting, the largest first; they sum to 1."""
    by_chance: float
    """The largest share that a setting gets when the scores are shuffled: mean of some shuffles."""
    epoch: int
    """At which the scores were compared."""
    trials: int
    left_out: tuple[str, ...]
    """Settings that only some trials have, or that never varied."""


def importance(record: SearchRecord, space: Mapping[str, Dimension]) -> Importance | int:
    """Rate the settings; the same answer for the same trials.

    Returns:
        Where there are too few trials (`LEAST_TRIALS`), how many there are.
    """
    epoch = common_epoch(record.trials)
    rated = [t for t in record.trials if _score_at(t, epoch) is not None and _fits(t, space)]
    if len(rated) < LEAST_TRIALS:
        return len(rated)
    if len(rated) > MOST_TRIALS:
        step = len(rated) / MOST_TRIALS
        rated = [rated[int(index * step)] for index in range(MOST_TRIALS)]
    names = _comparable(rated, space)
    if len(names) < 2:
        return Importance(
            shares={name: 1.0 for name in names},
            by_chance=1.0,
            epoch=epoch,
            trials=len(rated),
            left_out=tuple(name for name in space if name not in names),
        )
    scores = ranks([_score_at(trial, epoch) or 0.0 for trial in rated])
    chance = []
    for seed in range(_SHUFFLES):
        shuffled = list(scores)
        random.Random(seed).shuffle(shuffled)
        chance.append(max(_anova(rated, names, shuffled, space).values(), default=0.0))
    shares = _anova(rated, names, scores, space)
    return Importance(
        shares=dict(sorted(shares.items(), key=lambda item: -item[1])),
        by_chance=statistics.fmean(chance),
        epoch=epoch,
        trials=len(rated),
        left_out=tuple(name for name in space if name not in names),
    )


def common_epoch(trials: Sequence[TrialRecord]) -> int:
    """The last epoch that nearly all trials with a score have reached; 0 without any."""
    reached = sorted(len(t.epochs) for t in trials if t.epochs and t.status not in _BROKEN)
    if not reached:
        return 0
    return reached[int((1 - _NEARLY_ALL) * len(reached))]


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, 0 the lowest; equal values share the mean of theirs.

    >>> ranks([0.5, 0.1, 0.5])
    [1.5, 0.0, 1.5]
    """
    order = sorted(values)
    first = {value: index for index, value in reversed(list(enumerate(order)))}
    return [first[value] + (order.count(value) - 1) / 2 for value in values]


def _score_at(trial: TrialRecord, epoch: int) -> float | None:
    if trial.status in _BROKEN or len(trial.epochs) < max(1, epoch):
        return None
    return float(trial.epochs[epoch - 1].get(BEST_OBJECTIVE, 0.0))


def _fits(trial: TrialRecord, space: Mapping[str, Dimension]) -> bool:
    """Whether its values lie in the ranges, which may have been edited since."""
    return all(space[name].contains(x) for name, x in trial.params.items() if name in space)


def _comparable(rated: Sequence[TrialRecord], space: Mapping[str, Dimension]) -> list[str]:
    """Settings that all of the trials have, and that vary."""
    return [
        name
        for name in space
        if all(name in trial.params for trial in rated)
        and len({trial.params[name] for trial in rated}) > 1
    ]


def _anova(
    rated: Sequence[TrialRecord],
    names: Sequence[str],
    scores: Sequence[float],
    space: Mapping[str, Dimension],
) -> dict[str, float]:
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    distributions = {name: _distribution(space[name]) for name in names}
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # or it tells of each new study
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: trial.params[name] for name in names},
                distributions=distributions,
                value=score,
            )
            for trial, score in zip(rated, scores, strict=True)
        ]
    )
    evaluator = FanovaImportanceEvaluator(n_trees=_TREES, seed=0)
    found = get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def _distribution(dimension: Dimension) -> "BaseDistribution":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if dimension.choices is not None:
        return CategoricalDistribution(dimension.choices)
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
