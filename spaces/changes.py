"""Changes to a space: ranges from a file, more settings, settings that the user fixed."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from spaces.dimension import Dimension, Value
from spaces.space import LOSS, Space
from trainable.config import PAPER_LOSS_VALUES, TrialConfig, parse_setting, setting_names
from trainable.errors import UsageError, unknown_name

_RANGE_KEYS: Final = ("low", "high", "log", "choices")


def change_space(space: Space, changes: Mapping[str, Any]) -> Space:
    """Replace ranges, and add settings of `TrialConfig` as nuisance dimensions.

    Args:
        space: what to start from; it stays as it is.
        changes: from a YAML file: `{name: {low, high, log}}` or `{name: [choices]}`. Of a range
            that exists, keys that are left out stay; the range of a new setting needs low and
            high. Numbers may be text: YAML reads `1e-5` as text.

    Raises:
        UsageError: an unknown setting or key, the loss itself, a wrong range. Which settings all
            trials of a search must share is for the search to say.
    """
    if not isinstance(changes, Mapping):
        raise UsageError(f"space: must be a mapping of settings to ranges, got {changes!r}")
    dimensions = {dimension.name: dimension for dimension in space.dimensions}
    for name, change in changes.items():
        if name not in setting_names():
            raise unknown_name("setting in the space", name, setting_names())
        if name == "loss":
            raise UsageError("space: 'loss' has no place there: search several with --loss auto")
        old = dimensions.get(name)
        start = _new_dimension_start(space, name) if old is None else old
        dimensions[name] = _changed(start, change)
    return dataclasses.replace(space, dimensions=tuple(dimensions.values()))


def fix(space: Space, names: Iterable[str]) -> Space:
    """Drop the dimensions that the user fixed; names that are not in the space do nothing.

    The choice of losses stays.
    """
    fixed = set(names) - {LOSS}
    kept = tuple(dimension for dimension in space.dimensions if dimension.name not in fixed)
    return dataclasses.replace(space, dimensions=kept)


@dataclasses.dataclass(frozen=True, slots=True)
class _Start:
    """A setting that is not in the space yet: no range to keep."""

    name: str
    paper: Value | None
    low: None = None
    high: None = None
    log: bool = False
    role: str = "nuisance"


def _new_dimension_start(space: Space, name: str) -> _Start:
    if name in PAPER_LOSS_VALUES:
        return _Start(name, PAPER_LOSS_VALUES[name], role="scientific")
    return _Start(name, getattr(TrialConfig(loss=space.losses[0]), name))


def _changed(start: Dimension | _Start, change: Any) -> Dimension:
    name = start.name
    if isinstance(change, Mapping):
        for key in change:
            if key not in _RANGE_KEYS:
                raise unknown_name(f"key of '{name}' in the space", key, _RANGE_KEYS)
        if "choices" not in change:
            return _with_range(start, change)
        if len(change) > 1:
            raise UsageError(f"space: '{name}' has a range and choices: leave one of them out")
        change = change["choices"]
    if not isinstance(change, list | tuple):
        raise UsageError(
            f"space: '{name}' must be a list of choices or a mapping with low and high, "
            f"got {change!r}; to fix a setting use --set {name}=VALUE"
        )
    return _dimension(start, choices=tuple(_value(name, choice) for choice in change))


def _with_range(start: Dimension | _Start, change: Mapping[str, Any]) -> Dimension:
    name = start.name
    kind = _kind(name)
    if kind is str:
        raise UsageError(f"space: '{name}' is no number: give a list of choices, not a range")
    ends = {}
    for end in ("low", "high"):
        ends[end] = _value(name, change[end]) if end in change else getattr(start, end)
        if ends[end] is None:
            raise UsageError(f"space: '{name}' needs both low and high, {end} is missing")
    return _dimension(start, **ends, log=change.get("log", start.log), integer=kind is int)


def _dimension(start: Dimension | _Start, **shape: Any) -> Dimension:
    return Dimension.from_mapping(
        {
            "name": start.name,
            "role": start.role,
            "paper": start.paper,
            "reason": "as asked for",
            **shape,
        }
    )


def _kind(name: str) -> type:
    """int, float or str: the type of the setting."""
    return type(parse_setting(name, "1"))


def _value(name: str, value: Any) -> Any:
    """Text that is a number becomes one where the setting is a number."""
    if isinstance(value, str) and _kind(name) is float:
        try:
            return float(value)
        except ValueError:
            return value
    return value
