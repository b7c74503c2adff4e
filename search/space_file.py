"""What a user wrote as YAML: `--space FILE` changes a space, `--point FILE` is a point of it."""

from pathlib import Path
from typing import Any, Final

import yaml

from spaces import LOSS, Space
from spaces.dimension import Value
from spaces.space import applies
from trainable.best import BEST_FORMAT
from trainable.config import parse_setting
from trainable.errors import UsageError, unknown_name
from trainable.plain_yaml import parse_yaml

_SPACE_SHAPE: Final = (
    "must map names to ranges, as in 'learning_rate: {low: 1e-5, high: 1e-3, log: true}'"
)
_POINT_SHAPE: Final = "must map searched settings to values, as in 'learning_rate: 3e-5'"


def read_space_file(path: str) -> dict[str, Any]:
    """The changes to a space that a YAML file asks for: {name: {low, high, log} | [choices]}.

    Raises:
        UsageError: it cannot be read or is not a mapping.
    """
    return _read_mapping("--space", path, _SPACE_SHAPE)


def read_point(path: str, space: Space) -> dict[str, Value]:
    """A point of `space` that a user wants tried: a YAML file of settings, or a best.yaml.

    Dimensions that the file leaves open are drawn by the sampler. Of a best.yaml only what is
    searched counts.

    Raises:
        UsageError: it cannot be read, names what is not searched, or lies outside a range.
    """
    values = _read_mapping("--point", path, _POINT_SHAPE)
    dimensions = {dimension.name: dimension for dimension in space.dimensions}
    if values.get("format") == BEST_FORMAT:
        config = values.get("config")
        known = config if isinstance(config, dict) else {}
        values = {name: known[name] for name in dimensions if name in known}
        if not values:
            raise UsageError(f"--point {path}: has none of the searched settings")
    point: dict[str, Value] = {}
    for name, given in values.items():
        if name not in dimensions:
            unknown = unknown_name("searched setting", name, dimensions)
            raise UsageError(f"--point {path}: {unknown}")
        # YAML reads 1e-4 as text
        value = parse_setting(name, given) if isinstance(given, str) else given
        if not dimensions[name].contains(value) or isinstance(value, bool):
            low, high = dimensions[name].low, dimensions[name].high
            allowed = dimensions[name].choices or f"[{low:g}, {high:g}]"
            raise UsageError(
                f"--point {path}: '{name}' must lie in {allowed}, got {value!r}: widen the range "
                "with --space, or move the point"
            )
        point[name] = value
    _check_of_one_loss(path, point)
    return point


def _check_of_one_loss(path: str, point: dict[str, Value]) -> None:
    loss = point.get(LOSS)
    for name in point:
        if isinstance(loss, str) and not applies(name, loss):
            raise UsageError(
                f"--point {path}: loss '{loss}' has no hyperparameter '{name}': leave it out"
            )


def _read_mapping(option: str, path: str, shape: str) -> dict[str, Any]:
    try:
        values = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{option} {path}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise UsageError(f"{option} {path}: not valid YAML ({error})") from None
    if not isinstance(values, dict) or not values:
        raise UsageError(f"{option} {path}: {shape}")
    return {str(name): value for name, value in values.items()}
