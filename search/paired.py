"""Two configurations trained with the same seeds: is the difference more than the seeds'? Pure.

Differences are taken seed by seed, so that what a seed does to both cancels out. The interval is
Student's and takes differences to be normal, which so few cannot show; the sign-flip test takes
nothing for granted, but n seeds cannot bring its p below 2/2^n.
"""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Final

LEVEL: Final = 0.95
"""Of the interval."""
_MOST_FLIPPED: Final = 16
"""Seeds; 2^16 sign flips take 0.2 s."""
_ROUNDING: Final = 1e-12
"""Sums of the same numbers in another order differ by less."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Paired differences, first minus second, in the unit of the scores."""

    n: int
    """Pairs; at least 2."""
    mean: float
    low: float
    """Lower end of the interval of the mean difference, at `LEVEL`."""
    high: float
    p_t: float | None
    """Two-sided, of the paired t-test; None where all differences are equal."""
    p_flip: float | None
    """Two-sided, of the exact sign-flip test; None above 16 pairs."""

    @property
    def within_noise(self) -> bool:
        """Whether the interval holds 0."""
        return self.low <= 0.0 <= self.high

    @property
    def smallest_p_flip(self) -> float:
        """The least p that the sign-flip test can give with so many pairs."""
        return float(2.0 ** (1 - self.n))


def spread(scores: Sequence[float]) -> float | None:
    """Standard deviation with n - 1; None below two scores."""
    return statistics.stdev(scores) if len(scores) > 1 else None


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Compare scores that belong together by their place.

    Args:
        first: One score a seed, at least 2.
        second: With the same seeds in the same order.
    """
    assert len(first) == len(second) >= 2, "pairs, and two of them at least"
    differences = [a - b for a, b in zip(first, second, strict=True)]
    n, mean = len(differences), statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(n)
    low, high, p_t = _student(mean, error, n - 1)
    return Comparison(
        n=n, mean=mean, low=low, high=high, p_t=p_t, p_flip=_p_of_sign_flips(differences)
    )


def _student(mean: float, error: float, freedom: int) -> tuple[float, float, float | None]:
    """The interval's ends and the t-test's p."""
    from scipy.special import stdtr, stdtrit  # a tenth of scipy.stats' import

    if error <= _ROUNDING:
        return mean, mean, None
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    return mean - half, mean + half, float(2 * stdtr(freedom, -abs(mean / error)))


def _p_of_sign_flips(differences: Sequence[float]) -> float | None:
    """Share of all sign flips whose sum is as far from 0 as the one that was seen."""
    if len(differences) > _MOST_FLIPPED:
        return None
    seen = abs(sum(differences)) - _ROUNDING
    flips = itertools.product((1, -1), repeat=len(differences))
    sums = (abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips)
    return sum(total >= seen for total in sums) / 2 ** len(differences)
