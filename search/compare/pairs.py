"""Which differences between tuned models on test are more than noise. Pure, but for the resamples.

Two models see the same resampled test documents; 0 within the interval of their difference, or a p
that is not below 0.05 after Holm's correction for the number of pairs, is noise. That is about the
documents. Another training seed moves a score, too: where both searches were confirmed with other
seeds, the variance of each model's seeds (on validation: test is opened for one seed only) is added
to that of the documents, and Student's t, with Welch's degrees of freedom, takes the place of the
resamples' percentiles.

Traded away: the seeds of a validation set of other size than the test set; and Holm's correction
takes the pairs for what they are not, unrelated, which makes it strict.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from search.paired import LEVEL, spread
from trainable.predictions import Predictions

RESAMPLES: Final = 10_000
"""With 1,000, no p would be below 0.05 after a correction for 36 pairs."""
CONVINCING: Final = 1 - LEVEL
SCORES: Final = ("micro_f1", "macro_f1")
_NORMAL: Final = 1.959963984540054
"""Of 95 %: from an interval's width to a standard error."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """One that was scored on test."""

    label: str
    predictions: Predictions
    seeds: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    """Validation scores of its configuration by score, one a seed; empty: one seed alone."""
    fixed: bool = False
    """No seed moves it, as the SVM."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """First minus second, of one score on all test labels, in the unit of the scores."""

    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    seeds: bool
    """Whether the variation of seeds is in it."""

    @property
    def noise(self) -> bool:
        """Whether there may be no difference."""
        return self.low <= 0.0 <= self.high or self.p_holm >= CONVINCING


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PairOfModels:
    """Two of them."""

    first: str
    second: str
    total: Mapping[str, Difference]
    """By score."""
    rows: Mapping[str, Any]
    """`trainable.bootstrap.paired_intervals`, of the groups of labels, too."""


def compare_all(
    models: Sequence[Model], *, against: Model | None = None, resamples: int = RESAMPLES
) -> tuple[tuple[PairOfModels, ...], tuple[PairOfModels, ...]]:
    """All pairs of models, and each of them minus `against`: two families for Holm's correction.

    Args:
        models: On the same documents; at least one.
        against: Something simpler.
        resamples: Of the documents.

    Raises:
        UsageError: they are of other documents.
    """
    from trainable.bootstrap import all_paired_intervals

    everyone = [*models, *([against] if against else [])]
    drawn = all_paired_intervals([model.predictions for model in everyone], resamples=resamples)
    among = list(itertools.combinations(range(len(models)), 2))
    beside = [(place, len(models)) for place in range(len(models))] if against else []
    return _family(everyone, drawn, among), _family(everyone, drawn, beside)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = worst
    return adjusted


def with_seeds(
    found: Mapping[str, float], first: Sequence[float], second: Sequence[float]
) -> dict[str, float]:
    """The interval and p of a difference with the variance of seeds added to the documents'.

    Args:
        found: `difference`, `low` and `high` of the documents.
        first: Scores of the first model's configuration, one a seed; empty: none moves it.
        second: Of the second's.
    """
    from scipy.special import stdtr, stdtrit

    documents = ((found["high"] - found["low"]) / (2 * _NORMAL)) ** 2
    seeds = [((spread(scores) or 0.0) ** 2, len(scores) - 1) for scores in (first, second)]
    total = documents + sum(variance for variance, _ in seeds)
    if total == 0.0:
        return {**found, "p": 1.0 if found["difference"] == 0.0 else 0.0}
    shares = sum(variance**2 / freedom for variance, freedom in seeds if freedom > 0)
    freedom = total**2 / shares if shares else math.inf
    error = math.sqrt(total)
    t = abs(found["difference"]) / error
    half = (float(stdtrit(freedom, (1 + LEVEL) / 2)) if math.isfinite(freedom) else _NORMAL) * error
    p = float(2 * stdtr(freedom, -t)) if math.isfinite(freedom) else math.erfc(t / math.sqrt(2))
    return {
        "difference": found["difference"],
        "low": found["difference"] - half,
        "high": found["difference"] + half,
        "p": p,
    }


def _family(
    models: Sequence[Model],
    drawn: Mapping[tuple[int, int], Mapping[str, Any]],
    pairs: Sequence[tuple[int, int]],
) -> tuple[PairOfModels, ...]:
    totals: list[dict[str, Difference]] = [{} for _ in pairs]
    for score in SCORES:
        found = [_found(models[i], models[j], drawn[i, j], score) for i, j in pairs]
        adjusted = holm([values["p"] for values, _ in found])
        for total, (values, seeds), p_holm in zip(totals, found, adjusted, strict=True):
            total[score] = Difference(
                difference=values["difference"],
                low=values["low"],
                high=values["high"],
                p=values["p"],
                p_holm=p_holm,
                seeds=seeds,
            )
    return tuple(
        PairOfModels(
            first=models[i].label,
            second=models[j].label,
            total=total,
            rows={k: v for k, v in drawn[i, j].items() if k not in ("level", "resamples")},
        )
        for (i, j), total in zip(pairs, totals, strict=True)
    )


def _found(
    first: Model, second: Model, drawn: Mapping[str, Any], score: str
) -> tuple[Mapping[str, float], bool]:
    values: Mapping[str, float] = drawn["total"][score]
    known = [model.fixed or len(model.seeds.get(score, ())) > 1 for model in (first, second)]
    if not all(known):
        return values, False
    return with_seeds(values, first.seeds.get(score, ()), second.seeds.get(score, ())), True
