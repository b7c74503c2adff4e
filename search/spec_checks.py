"""Checks of single values of a spec: each names the option, what must hold and what was found."""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from search.confirmation import LEAST_SEEDS, MOST_SEEDS, seeds_to_confirm
from trainable.config import TrialConfig
from trainable.errors import UsageError

_PLAIN_KINDS: Final[Mapping[str, Any]] = MappingProxyType(
    {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}
)


def at_least(option: str, value: int, low: int) -> None:
    """Raise UsageError unless the option is at least `low`."""
    if value < low:
        raise UsageError(f"{option} must be at least {low}, got {value}")


def positive(option: str, value: float) -> None:
    """Raise UsageError unless the option is finite and above 0."""
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{option} must be above 0, got {value:g}")


def not_negative(option: str, value: float) -> None:
    """Raise UsageError unless the option is finite and at least 0."""
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{option} must be at least 0, got {value:g}")


def check_confirm(config: TrialConfig, confirm: int, seeds: int) -> None:
    """Raise UsageError unless so many configurations can be confirmed with so many seeds."""
    at_least("confirm", confirm, 0)
    if not LEAST_SEEDS <= seeds <= MOST_SEEDS:
        raise UsageError(f"seeds must be in {LEAST_SEEDS}..{MOST_SEEDS}, got {seeds}")
    if confirm:
        config.replace(seed=seeds_to_confirm(config.seed, seeds)[-1])


def plain_value(field: dataclasses.Field[Any], value: Any) -> Any:
    """`value` if it has the plain type of `field` (the nested ones are built elsewhere).

    Raises:
        UsageError: it has another one.
    """
    annotation = str(field.type)
    for name, kinds in _PLAIN_KINDS.items():
        if name not in annotation:
            continue
        if value is None and "None" in annotation:
            return None
        if not isinstance(value, kinds) or isinstance(value, bool) != (name == "bool"):
            raise UsageError(f"'{field.name}' must be of type {name}, got {value!r}")
        return float(value) if name == "float" else value
    return value
