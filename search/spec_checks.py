"""Checks of single values of a spec: each names the option, what must hold and what was found."""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from search.confirmation import LEAST_SEEDS, MOST_SEEDS, seeds_to_confirm
from search.samplers import GP
from spaces import AUTO, Space
from trainable.config import TrialConfig
from trainable.errors import UsageError

FIXED_IN_A_SEARCH: Final = frozenset(
    {"dataset", "data_path", "split_seed", "max_train_docs", "max_val_docs", "max_test_docs"}
    | {"text_column", "labels_column", "split_column", "label_separator"}
    | {"encoder", "objective", "tune", "num_threads", "precision", "seed"}
)
"""Settings that trials of one search share: data and encoder are loaded once."""

FIXED_IN_HEAD_MODE: Final = frozenset({"max_length", "attention_dropout"})
"""Settings of the encoder, which is frozen: its features are computed once for all trials."""

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


def check_space(space: Space, config: TrialConfig, sampler: str) -> None:
    """Raise UsageError unless trials may differ in what is sampled, and `sampler` can sample it."""
    if space.losses[0] != config.loss:
        raise UsageError(
            f"config and space must begin with the same loss, got '{config.loss}' and "
            f"'{space.losses[0]}'"
        )
    if space.loss == AUTO and sampler == GP:
        raise UsageError(
            "--sampler gp models settings that every trial has, and of several losses one has "
            "some that another has not: use tpe or random, or give one --loss"
        )
    for name in space.names:
        if name in FIXED_IN_A_SEARCH:
            raise UsageError(
                f"setting '{name}' cannot be searched: all trials of a search share it; "
                f"give it one value with --set {name}=VALUE"
            )
        if config.tune == "head" and name in FIXED_IN_HEAD_MODE:
            raise UsageError(
                f"setting '{name}' cannot be searched with tune=head: the encoder is frozen; "
                f"take it out of the space, or use --tune all"
            )


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
