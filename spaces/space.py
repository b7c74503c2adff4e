"""A search space: the dimensions of one loss, or of several, sampled define-by-run."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Self

from spaces.dimension import Dimension, SuggestsValues, Value
from trainable.config import LOSS_HYPERPARAMETERS, TrialConfig
from trainable.errors import UsageError, unknown_name

AUTO: Final = "auto"
"""The loss of a space in which the loss is searched."""
LOSS: Final = "loss"
LOSS_SETTINGS: Final = ("gamma", "cb_beta", "alpha", "beta", "mu", "kappa", "lambda_")
"""Hyperparameters of losses: a trial has those that its loss has in its formula."""
_KEYS: Final = ("loss", "dimensions", "fixed")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """What a search samples for each trial; everything else is fixed in its `TrialConfig`.

    Frozen and made of plain values: it survives pickle and YAML.

    Raises:
        UsageError: an unknown loss, a setting twice, a hyperparameter that no loss of it uses.
    """

    loss: str
    """One of `LOSS_HYPERPARAMETERS`, or `auto`: the first dimension has the losses as choices."""
    dimensions: tuple[Dimension, ...]
    fixed: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Of `auto`: hyperparameters that are not searched, for the losses that have them."""

    def __post_init__(self) -> None:
        if self.loss not in (*LOSS_HYPERPARAMETERS, AUTO):
            raise unknown_name("loss", self.loss, (*LOSS_HYPERPARAMETERS, AUTO))
        self._check_loss()
        used = {name for loss in self.losses for name in LOSS_HYPERPARAMETERS[loss]}
        for name in (*self.names, *self.fixed):
            if name in LOSS_SETTINGS and name not in used:
                raise self._not_used(name)
        if len(set(self.names)) < len(self.names):
            raise UsageError(f"space: a setting is named twice: {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The sampled settings, in the order in which they are asked."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def losses(self) -> tuple[str, ...]:
        """The losses that trials may have; trial 0 has the first."""
        if self.loss != AUTO:
            return (self.loss,)
        return tuple(str(choice) for choice in self.dimensions[0].choices or ())

    @property
    def without_paper_value(self) -> tuple[str, ...]:
        """Dimensions whose range leaves out the paper's value: trial 0 takes the nearest one."""
        return tuple(
            dimension.name
            for dimension in self.dimensions
            if dimension.paper is not None and not dimension.contains(dimension.paper)
        )

    def of_loss(self, loss: str) -> "Space":
        """What is sampled of trials with that loss, one of `losses`, as a space of its own."""
        if self.loss != AUTO:
            return self
        return Space(
            loss=loss,
            dimensions=tuple(
                dimension
                for dimension in self.dimensions
                if dimension.name != LOSS and applies(dimension.name, loss)
            ),
        )

    def sample(self, trial: SuggestsValues) -> dict[str, Value]:
        """Ask an Optuna trial for a value of every dimension that its loss has."""
        values: dict[str, Value] = {}
        for dimension in self.dimensions:  # the loss is the first
            if applies(dimension.name, str(values.get(LOSS, self.loss))):
                values[dimension.name] = dimension.suggest(trial)
        return values

    def paper_point(self) -> dict[str, Value]:
        """The paper's values, for trial 0 (DESIGN D7); always inside the ranges."""
        return self.paper_points()[0]

    def paper_points(self) -> tuple[dict[str, Value], ...]:
        """The paper's values of each loss, in their order."""
        return tuple(
            {LOSS: loss, **self._paper_values(loss)}
            if self.loss == AUTO
            else self._paper_values(loss)
            for loss in self.losses
        )

    def complete(self, config: TrialConfig, params: Mapping[str, Any]) -> TrialConfig:
        """The configuration of a trial.

        Args:
            config: Of trial 0, or any other that this space makes of it.
            params: Sampled; what is left out stays as in `config`, or where the loss is another
                one, at the paper's value.
        """
        loss = params.get(LOSS, config.loss)
        if self.loss != AUTO or loss == config.loss:
            return config.replace(**params)
        shared = {k: v for k, v in config.to_mapping().items() if k not in LOSS_SETTINGS}
        fixed = {k: v for k, v in self.fixed.items() if k in LOSS_HYPERPARAMETERS[loss]}
        return TrialConfig.from_mapping({**shared, **fixed, **params})

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for YAML."""
        return {
            "loss": self.loss,
            "dimensions": [dimension.to_mapping() for dimension in self.dimensions],
            **({"fixed": dict(self.fixed)} if self.fixed else {}),
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_mapping`; wrong content is a UsageError."""
        if not isinstance(values, Mapping):
            raise UsageError(f"space: must be a mapping, got {values!r}")
        for key in values:
            if key not in _KEYS:
                raise unknown_name("key of the space", key, _KEYS)
        dimensions = values.get("dimensions")
        if not isinstance(dimensions, list):
            raise UsageError(f"space: dimensions must be a list, got {dimensions!r}")
        fixed = values.get("fixed", {})
        if not isinstance(fixed, Mapping):
            raise UsageError(f"space: fixed must be a mapping, got {fixed!r}")
        return cls(
            loss=values.get("loss", ""),
            dimensions=tuple(Dimension.from_mapping(entry) for entry in dimensions),
            fixed=dict(fixed),
        )

    def _paper_values(self, loss: str) -> dict[str, Value]:
        return {
            dimension.name: dimension.nearest(dimension.paper)
            for dimension in self.of_loss(loss).dimensions
            if dimension.paper is not None
        }

    def _check_loss(self) -> None:
        if self.loss == AUTO and self.names[:1] != (LOSS,):
            raise UsageError("space: loss 'auto' needs the choice of losses as its first dimension")
        if self.loss != AUTO and (LOSS in self.names or self.fixed):
            raise UsageError(
                f"space: is of loss '{self.loss}' alone, and 'loss' cannot be searched in it; "
                "search several with --loss auto"
            )

    def _not_used(self, name: str) -> UsageError:
        if self.loss == AUTO:
            return UsageError(
                f"space: none of the losses {', '.join(self.losses)} has a hyperparameter "
                f"'{name}': leave it out"
            )
        used = ", ".join(LOSS_HYPERPARAMETERS[self.loss]) or "none"
        return UsageError(
            f"space: loss '{self.loss}' has no hyperparameter '{name}': "
            f"its formula uses {used}; leave '{name}' out"
        )


def applies(name: str, loss: str) -> bool:
    """Whether trials with that loss have the setting `name`."""
    return name not in LOSS_SETTINGS or name in LOSS_HYPERPARAMETERS.get(loss, ())
