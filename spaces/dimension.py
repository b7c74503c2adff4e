"""One searched setting: its range, its scale, why, and how it is asked of an Optuna trial."""

import dataclasses
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, Literal, Protocol, Self

from trainable.config import LOSS_HYPERPARAMETERS, TrialConfig, setting_names
from trainable.errors import UsageError, unknown_name

Value = bool | int | float | str
Role = Literal["scientific", "nuisance"]
ROLES: Final = ("scientific", "nuisance")


class SuggestsValues(Protocol):
    """What a space needs of an `optuna.trial.Trial`; a FixedTrial has it too."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = ...) -> float:
        """A float in [low, high]."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = ...) -> int:
        """An integer in [low, high]."""
        ...

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """One of the choices."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Dimension:
    """A range `[low, high]` or a list of choices for one setting of `TrialConfig`.

    Raises:
        UsageError: neither or both of range and choices, a range upside down, a logarithmic range
            that touches 0, or a value that `TrialConfig` refuses.
    """

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    """Sampled uniformly in the logarithm."""
    integer: bool = False
    choices: tuple[Value, ...] | None = None
    role: Role = "nuisance"
    """`scientific`: what the search is about; `nuisance`: tuned so that the comparison is fair."""
    paper: Value | None = None
    """The value of Huang et al. 2021; where they have none, what trial 0 has, or None: nothing."""
    reason: str = ""
    """Why this range."""

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise unknown_name("role", self.role, ROLES)
        if self.choices is not None:
            self._check_choices(self.choices)
        else:
            self._check_range()

    def suggest(self, trial: SuggestsValues) -> Value:
        """Ask `trial` for a value, under this dimension's name."""
        if self.choices is not None:
            value: Value = trial.suggest_categorical(self.name, self.choices)
            return value
        low, high = self._bounds()
        if self.integer:
            return trial.suggest_int(self.name, int(low), int(high), log=self.log)
        return trial.suggest_float(self.name, low, high, log=self.log)

    def contains(self, value: Value | None) -> bool:
        """Whether the range or the choices hold `value`."""
        if self.choices is not None:
            return value in self.choices
        low, high = self._bounds()
        return isinstance(value, int | float) and low <= value <= high

    def nearest(self, value: Value) -> Value:
        """The value of this dimension nearest to `value`; the first choice if none is a number."""
        if self.contains(value):
            return value
        if self.choices is None:
            low, high = self._bounds()
            number = min(max(float(value), low), high)
            return int(number) if self.integer else number
        numbers = [choice for choice in self.choices if _is_number(choice)]
        if not numbers or not _is_number(value):
            return self.choices[0]
        return min(numbers, key=lambda choice: abs(float(choice) - float(value)))

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for YAML; what is at its default is left out."""
        mapping: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default or field.name == "role":
                mapping[field.name] = list(value) if isinstance(value, tuple) else value
        return mapping

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_mapping`."""
        if not isinstance(values, Mapping):
            raise UsageError(f"space: a dimension must be a mapping, got {values!r}")
        keys = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in keys:
                raise unknown_name("key of a dimension in the space", key, keys)
        if "name" not in values:
            raise UsageError(f"space: a dimension has no name: {dict(values)}")
        plain = dict(values)
        if isinstance(plain.get("choices"), list):
            plain["choices"] = tuple(plain["choices"])
        return cls(**plain)

    def _bounds(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise AssertionError(f"'{self.name}' has choices, not a range")
        return self.low, self.high

    def _check_range(self) -> None:
        for end, value in (("low", self.low), ("high", self.high)):
            if not isinstance(value, int | float) or not (_is_number(value) and isfinite(value)):
                raise UsageError(f"space: {end} of '{self.name}' must be a number, got {value!r}")
        low, high = self._bounds()
        if low >= high:
            raise UsageError(
                f"space: low < high must hold for '{self.name}', got low {low!r}, high {high!r}"
                f"{'; to fix a setting use --set' if low == high else ''}"
            )
        for flag in ("log", "integer"):
            if not isinstance(getattr(self, flag), bool):
                found = getattr(self, flag)
                raise UsageError(f"space: {flag} of '{self.name}' must be true or false: {found!r}")
        check_value(self.name, low)
        check_value(self.name, high)
        if self.log and low <= 0:
            raise UsageError(
                f"space: a logarithmic range needs low > 0, got {low!r} for '{self.name}'; "
                "raise low or set log: false"
            )

    def _check_choices(self, choices: tuple[Value, ...]) -> None:
        if not (self.low is None and self.high is None and not self.log):
            raise UsageError(f"space: '{self.name}' has a range and choices: leave one of them out")
        if not isinstance(choices, tuple):
            raise UsageError(f"space: choices of '{self.name}' must be a list, got {choices!r}")
        if len(choices) < 2:
            raise UsageError(
                f"space: '{self.name}' needs at least two choices, got {list(choices)}; "
                "to fix a setting use --set"
            )
        for choice in choices:
            if choice is None:
                raise UsageError(f"space: a choice of '{self.name}' is empty: {list(choices)}")
            check_value(self.name, choice)
        if len(set(choices)) < len(choices):
            raise UsageError(f"space: choices of '{self.name}' repeat a value: {list(choices)}")


def check_value(name: str, value: object) -> None:
    """Raise the UsageError of `TrialConfig` if `value` cannot be the setting `name`."""
    if name not in setting_names():
        raise unknown_name("setting", name, setting_names())
    loss = next((loss for loss, used in LOSS_HYPERPARAMETERS.items() if name in used), "bce")
    try:
        tune = "head" if name == "head_hidden" else "all"
        TrialConfig.from_mapping({"loss": loss, "tune": tune, name: value})
    except UsageError as error:
        raise UsageError(f"space: {error}") from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
