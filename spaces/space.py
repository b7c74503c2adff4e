"""A search space: the dimensions of one loss, sampled define-by-run."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from spaces.dimension import Dimension, SuggestsValues, Value
from trainable.config import LOSS_HYPERPARAMETERS, PAPER_LOSS_VALUES
from trainable.errors import UsageError, unknown_name


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """What a search samples for each trial; everything else is fixed in its `TrialConfig`.

    Frozen and made of plain values: it survives pickle and YAML.

    Raises:
        UsageError: an unknown loss, a setting twice, a hyperparameter that the loss does not use.
    """

    loss: str
    dimensions: tuple[Dimension, ...]

    def __post_init__(self) -> None:
        if self.loss not in LOSS_HYPERPARAMETERS:
            raise unknown_name("loss", self.loss, LOSS_HYPERPARAMETERS)
        used = LOSS_HYPERPARAMETERS[self.loss]
        for name in self.names:
            if name in (*PAPER_LOSS_VALUES, "mu") and name not in used:
                raise UsageError(
                    f"space: loss '{self.loss}' has no hyperparameter '{name}': "
                    f"its formula uses {', '.join(used) or 'none'}; leave '{name}' out"
                )
        if len(set(self.names)) < len(self.names):
            raise UsageError(f"space: a setting is named twice: {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The sampled settings, in the order in which they are asked."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def without_paper_value(self) -> tuple[str, ...]:
        """Dimensions whose range leaves out the paper's value: trial 0 takes the nearest one."""
        return tuple(
            dimension.name
            for dimension in self.dimensions
            if dimension.paper is not None and not dimension.contains(dimension.paper)
        )

    def sample(self, trial: SuggestsValues) -> dict[str, Value]:
        """Ask an Optuna trial for one value of every dimension."""
        return {dimension.name: dimension.suggest(trial) for dimension in self.dimensions}

    def paper_point(self) -> dict[str, Value]:
        """The paper's values, for trial 0 (DESIGN D7); always inside the ranges."""
        return {
            dimension.name: dimension.nearest(dimension.paper)
            for dimension in self.dimensions
            if dimension.paper is not None
        }

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for YAML."""
        return {
            "loss": self.loss,
            "dimensions": [dimension.to_mapping() for dimension in self.dimensions],
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_mapping`; wrong content is a UsageError."""
        if not isinstance(values, Mapping):
            raise UsageError(f"space: must be a mapping, got {values!r}")
        for key in values:
            if key not in ("loss", "dimensions"):
                raise unknown_name("key of the space", key, ("loss", "dimensions"))
        dimensions = values.get("dimensions")
        if not isinstance(dimensions, list):
            raise UsageError(f"space: dimensions must be a list, got {dimensions!r}")
        return cls(
            loss=values.get("loss", ""),
            dimensions=tuple(Dimension.from_mapping(entry) for entry in dimensions),
        )
