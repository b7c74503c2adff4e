"""What the first epochs of a curve say about its best one: the ground that ASHA stands on."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.curve_table import Curve

FEWEST: Final = 4
"""Curves, below which a rank correlation says nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EarlyScore:
    """The best score so far after one epoch, against the best score of the whole curve."""

    epoch: int
    spearman: float
    """Rank correlation over the curves, in [-1, 1]; NaN where all scores are the same."""
    winner_rank: int
    """Of the curve that is best in the end: 1 where it is the best already; ties count as above."""
    zeros: int
    """Curves that are still at 0."""


def early_scores(curves: Sequence[Curve], epochs: Sequence[int]) -> list[EarlyScore]:
    """One a given epoch; of curves that diverged, the epochs before count."""
    final = [curve.best for curve in curves]
    winner = final.index(max(final))
    found = []
    for epoch in epochs:
        early = [curve.best_until(epoch) for curve in curves]
        found.append(
            EarlyScore(
                epoch=epoch,
                spearman=spearman(early, final),
                winner_rank=sum(score >= early[winner] for score in early),
                zeros=sum(score == 0 for score in early),
            )
        )
    return found


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Rank correlation; NaN for fewer than `FEWEST` pairs, or where one side has one value.

    >>> round(spearman([1, 2, 3, 4], [10, 20, 40, 30]), 6)
    0.8
    """
    if len(one) < FEWEST or len(set(one)) < 2 or len(set(other)) < 2:
        return math.nan
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """From 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    shared: npt.NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return shared
