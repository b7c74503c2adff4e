"""Intervals of the test scores, where the report of the test set has them."""

from collections.abc import Mapping
from typing import Any, Final

TOTAL: Final = "total"
"""The row of all labels; the others are the groups."""


def interval_of(
    report: Mapping[str, Any] | None, row: str, score: str
) -> tuple[float, float] | None:
    """Ends of the interval of a score, in [0, 1]; None in a report without intervals.

    >>> interval_of({"intervals": {"tail": {"micro_f1": [0.2, 0.4]}}}, "tail", "micro_f1")
    (0.2, 0.4)
    """
    found = (((report or {}).get("intervals") or {}).get(row) or {}).get(score)
    return None if not found else (float(found[0]), float(found[1]))


def interval_words(report: Mapping[str, Any] | None, score: str) -> str:
    """The interval of a score of all labels, in per cent; "" for none.

    >>> interval_words({"intervals": {"level": 0.95, "total": {"f": [0.861, 0.884]}}}, "f")
    '95 % interval 86.10 to 88.40'
    """
    found = interval_of(report, TOTAL, score)
    if report is None or found is None:
        return ""
    level = 100 * float(report["intervals"].get("level", 0.95))
    return f"{level:.0f} % interval {100 * found[0]:.2f} to {100 * found[1]:.2f}"
