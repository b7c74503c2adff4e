"""What was searched, where a value lies in its range, and the trials as the search ran them."""

import math
from collections.abc import Mapping
from typing import Any, Final

from search.results import SearchRecord, TrialRecord
from spaces.dimension import Dimension

NEAR: Final = 0.05
"""Of a range: a value so close to an end lies at the bound."""


def dimensions(record: SearchRecord) -> dict[str, Dimension]:
    """What any trial may sample, by name; a trial need not have all of it."""
    return {dimension.name: dimension for dimension in record.spec.space.dimensions}


def position(dimension: Dimension, value: object) -> float | None:
    """Where a value lies between the ends of its range, on the scale it is sampled on.

    Returns:
        In [0, 1]; None for choices, and for what is no number or lies outside.
    """
    low, high = dimension.low, dimension.high
    if low is None or high is None or not dimension.contains(value):  # type: ignore[arg-type]
        return None
    number = float(value)  # type: ignore[arg-type]
    if dimension.log:
        return math.log(number / low) / math.log(high / low)
    return (number - low) / (high - low)


def at_bound(dimension: Dimension, value: object) -> str:
    """`lower` or `upper`, where the value lies within `NEAR` of that end; else ""."""
    at = position(dimension, value)
    if at is None:
        return ""
    if at <= NEAR:
        return "lower"
    return "upper" if at >= 1 - NEAR else ""


def in_search(record: SearchRecord, trial: TrialRecord | None) -> TrialRecord | None:
    """The trial as the search itself ran it: `record.best` may be its run with another seed."""
    if trial is None:
        return None
    return next((own for own in record.trials if own.number == trial.number), None)


def loss_of_best(record: SearchRecord) -> str:
    """The loss of the best trial: where losses are searched, each trial has its own."""
    best = record.best
    return record.spec.trial_config({} if best is None else best.params).loss


def shown_name(name: str) -> str:
    """A setting for people.

    >>> shown_name("lambda_")
    'lambda'
    """
    return name.rstrip("_")


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis: 1, 2 and 5 of each decade, or 1 alone of many.

    >>> log_ticks(2.5, 40), log_ticks(1e-4, 1.0)
    ([5.0, 10.0, 20.0], [0.0001, 0.001, 0.01, 0.1, 1.0])
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1,)):
        ticks = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        inside = [tick for tick in ticks if low <= tick * (1 + 1e-9) and tick <= high * (1 + 1e-9)]
        if len(inside) <= 6:
            break
    return inside


def sampled_names(params: Mapping[str, Any], space: Mapping[str, Dimension]) -> list[str]:
    """Names in the order of the space; what the space does not have comes last."""
    return [*(name for name in space if name in params), *(n for n in params if n not in space)]


def range_words(dimension: Dimension) -> str:
    """A range or the choices, for people."""
    if dimension.choices is not None:
        return ", ".join(map(str, dimension.choices))
    scale = ", log" if dimension.log else ""
    return f"{dimension.low:.4g} .. {dimension.high:.4g}{scale}"
