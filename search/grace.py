"""How long ASHA leaves every trial alone.

A trial that is judged while its learning rate still climbs is judged by its warm-up: one with a
long warm-up looks bad beside one with a short one, however good it will be. So the grace period
covers the longest warm-up of the search, and one epoch at the full learning rate.
"""

import math
from typing import Any

from search.presets import Preset
from spaces import Space
from trainable.config import TrialConfig


def least_grace(config: TrialConfig, space: Space) -> int:
    """Epochs that a grace period must have at least; 1 without a warm-up.

    >>> from spaces import space_for
    >>> config = TrialConfig(loss="bce", epochs=30, warmup_fraction=0.1)
    >>> least_grace(config, space_for("bce", mu=None))
    4
    """
    fraction = _highest("warmup_fraction", config, space)
    epochs = _highest("epochs", config, space)
    return math.ceil(fraction * epochs - 1e-9) + 1


def preset_grace(preset: Preset, config: TrialConfig, space: Space) -> int:
    """The preset's grace period, where the user gives none.

    It shrinks with few epochs, so that they still leave a rung, and never below `least_grace`.
    """
    shrunk = max(1, min(preset.grace_period, config.epochs // 2))
    return max(shrunk, least_grace(config, space))


def _highest(name: str, config: TrialConfig, space: Space) -> Any:
    """The highest value that a trial may have of a setting."""
    for dimension in space.dimensions:
        if dimension.name == name:
            values: tuple[Any, ...] = dimension.choices or (dimension.high,)
            return max(values)
    return getattr(config, name)
