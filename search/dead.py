"""Dead hyperparameters: a searched setting that changes nothing is an error before the search.

It would cost trials, and its importance would be read off noise. A setting is alive if two of its
values differ in their effect (`trainable.effects`), at trial 0's values for all others. Where the
ends of its range do not, values between them are tried, and other points of the space: a setting
may act only where another one lets it. Where the loss is searched, its hyperparameters are looked
at in every loss that has them, all other settings in that of trial 0.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from search.spec import SearchSpec
from search.words import value
from spaces import AUTO, LOSS, LOSS_SETTINGS, Dimension
from spaces.space import applies
from trainable.encoded import EncodedDataset
from trainable.errors import UsageError

if TYPE_CHECKING:
    from trainable.effects import Effects

_VALUES: Final = 5
"""Of a range, before it is called dead."""
_OTHER_POINTS: Final = 6
_SIGNIFICANT: Final = 15
"""Digits that a float64 has for sure."""


def check_alive(spec: SearchSpec, data: EncodedDataset) -> list[str]:
    """Check that each searched setting changes the loss or the update.

    Args:
        spec: with mu, on `data`; its ranges are settings that trials accept.
        data: what the search trains on.

    Returns:
        Warnings: settings that act only beyond what the first steps reach.

    Raises:
        UsageError: some change nothing; it names each, and says why and what to do.
    """
    if not spec.space.dimensions or len(data.train) < 2:  # a loss refuses so few by itself
        return []
    from trainable.effects import Effects, aspect_of  # imports torch

    effects = Effects(data)
    dead, warnings = [], []
    for dimension in spec.space.dimensions:
        if dimension.name == "max_grad_norm":
            warnings += _clips_nothing(spec, dimension, effects)
            continue
        searches = _searches(spec, dimension.name)
        apart = {loss: _apart(search, dimension, effects) for loss, search in searches.items()}
        found = [difference for difference in apart.values() if difference is not None]
        if len(found) == len(apart):
            why = _why(aspect_of(dimension.name), max(found), spec, dimension, effects)
            dead.append(f"'{dimension.name}' ({_range(dimension)}: {why})")
        elif found:
            idle = ", ".join(loss for loss, difference in apart.items() if difference is not None)
            warnings.append(f"the searched setting '{dimension.name}' changes nothing in {idle}")
    if dead:
        raise UsageError(_message(spec, dead))
    return warnings


def _searches(spec: SearchSpec, name: str) -> dict[str, SearchSpec]:
    """Where to look at a setting: the search itself, or those of the losses that have it."""
    if spec.space.loss != AUTO or name == LOSS:
        return {spec.space.loss: spec}
    if name not in LOSS_SETTINGS:
        first = spec.space.losses[0]
        return {first: spec.of_loss(first)}
    having = (loss for loss in spec.space.losses if applies(name, loss))
    return {loss: spec.of_loss(loss) for loss in having}


def _message(spec: SearchSpec, dead: list[str]) -> str:
    first = dead[0].partition("'")[2].partition("'")[0]
    paper = next(dim.paper for dim in spec.space.dimensions if dim.name == first)
    fixed = getattr(spec.config, first)
    fix = f"--set {first}={value(paper if fixed is None else fixed)}"
    if len(dead) == 1:
        return (
            f"the searched setting {dead[0]} changes neither loss nor update: "
            f"fix it with {fix}, or take it out of --space"
        )
    return (
        f"searched settings change neither loss nor update: {'; '.join(dead)}: fix each of them "
        f"({fix}), or take them out of --space"
    )


def _apart(spec: SearchSpec, dimension: Dimension, effects: "Effects") -> float | None:
    """None if the setting is alive, else the largest relative difference that was seen."""
    from trainable.effects import SAME, aspect_of

    limit = SAME if aspect_of(dimension.name) == "loss" else 0.0
    most = 0.0
    for params, values in _comparisons(spec, dimension):
        first, *others = (spec.trial_config({**params, dimension.name: value}) for value in values)
        for other in others:
            most = max(most, effects.difference(dimension.name, first, other))
            if most > limit:
                return None
    return most


def _comparisons(
    spec: SearchSpec, dimension: Dimension
) -> Iterator[tuple[dict[str, Any], tuple[Any, ...]]]:
    """Points of the space and values to compare there: the cheap comparison first."""
    values = _values(dimension)
    yield {}, (values[0], values[-1])
    if dimension.name == LOSS:
        return
    if len(values) > 2:
        yield {}, values
    draw = _Draw(seed=spec.seed)
    if len(spec.space.dimensions) > 1:
        for _ in range(_OTHER_POINTS):
            yield dict(spec.space.sample(draw)), values


def _values(dimension: Dimension) -> tuple[Any, ...]:
    """All choices, or values from low to high."""
    if dimension.choices is not None:
        return dimension.choices
    low, high = float(dimension.low or 0.0), float(dimension.high or 0.0)
    spaced = np.geomspace if dimension.log else np.linspace
    inner = spaced(low, high, _VALUES)[1:-1].tolist()
    values = [low, *inner, high]  # the ends exactly
    return tuple(dict.fromkeys(round(v) if dimension.integer else v for v in values))


def _clips_nothing(spec: SearchSpec, dimension: Dimension, effects: "Effects") -> list[str]:
    """A gradient may grow in training: clipping that is idle in the first steps is no error."""
    values = [float(value) for value in _values(dimension)]
    positive = [value for value in values if value > 0]
    reaches_zero = dimension.choices is None and values[0] == 0.0
    if not positive or reaches_zero:
        return []
    lowest = min(positive)
    free, clipped = (spec.trial_config({"max_grad_norm": norm}) for norm in (0.0, lowest))
    if effects.of_updates(free, clipped):
        return []
    return [
        f"max_grad_norm from {lowest:g} on clips no gradient of the first steps: lower its range, "
        "or take it out of --space"
    ]


def _why(
    aspect: str, apart: float, spec: SearchSpec, dimension: Dimension, effects: "Effects"
) -> str:
    if aspect == "loss":
        digits = _SIGNIFICANT if apart == 0.0 else min(_SIGNIFICANT, math.floor(-math.log10(apart)))
        return f"loss and gradient are equal to {digits} digits"
    if aspect == "length":
        return f"the longest document has {effects.longest()} word pieces"
    if aspect == "schedule":
        low = spec.trial_config({dimension.name: _values(dimension)[0]})
        steps = effects.steps(low)
        return f"the {steps} steps of a training have the same learning rates and documents"
    return "the parameters after two steps are equal to the last bit"


def _range(dimension: Dimension) -> str:
    if dimension.choices is not None:
        return ", ".join(map(str, dimension.choices))
    return f"{dimension.low:g} to {dimension.high:g}"


class _Draw:
    """Random points of a space: what `Space.sample` asks of an Optuna trial."""

    def __init__(self, *, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:  # noqa: ARG002
        if log:
            return float(np.clip(np.exp(self._random.uniform(*np.log((low, high)))), low, high))
        return float(self._random.uniform(low, high))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return round(self.suggest_float(name, low, high, log=log))

    def suggest_categorical(self, name: str, choices: Any) -> Any:  # noqa: ARG002
        return choices[int(self._random.integers(len(choices)))]
