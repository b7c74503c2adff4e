"""Numbers for people."""

from typing import Any


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(42.4), duration(150), duration(7260)
    ('42 s', '2 min 30 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = whole // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def in_percent(score: float | None) -> str:
    """A score in per cent; a dash where there is none.

    >>> in_percent(0.87654), in_percent(None)
    ('87.65', '-')
    """
    return "-" if score is None else f"{100 * score:.2f}"


def value(item: Any) -> str:
    """A setting's value in few characters.

    >>> value(0.00012345), value(None), value(2.0), value(0.9999)
    ('0.000123', '-', '2', '0.9999')
    """
    if item is None:
        return "-"
    if not isinstance(item, float):
        return str(item)
    short = f"{item:.3g}"
    # cb_beta lives just below 1, and is not 1
    return f"{item:g}" if float(short) == 1.0 else short
