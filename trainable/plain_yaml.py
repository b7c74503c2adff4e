"""YAML of plain values, from anybody: no tags of Python, no bombs.

A few lines of aliases can stand for more values than fit into memory, and brackets nested a
thousand deep end the interpreter's stack: what is larger than any file of ours is refused.
"""

from typing import Any, Final

import yaml

_MOST_CHARACTERS: Final = 8 * 2**20
_MOST_VALUES: Final = 500_000
"""With each alias counted as what it stands for."""
_DEEPEST: Final = 50


def parse_yaml(text: str) -> Any:
    """The plain values in `text`.

    Raises:
        yaml.YAMLError: it is not YAML, or has a tag such as !!python/object.
        ValueError: a date that is none, or the values are too many or nested too deep.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"it is longer than {_MOST_CHARACTERS // 2**20} MiB")
    try:
        values = yaml.safe_load(text)
    except RecursionError:
        raise ValueError("its values are nested too deep") from None
    _count(values, 0, 0)
    return values


def _count(value: Any, depth: int, counted: int) -> int:
    """`counted` and the values in `value`."""
    if depth > _DEEPEST:
        raise ValueError("its values are nested too deep")
    counted += 1
    if counted > _MOST_VALUES:
        raise ValueError(f"it stands for more than {_MOST_VALUES} values")
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    for item in inner:
        counted = _count(item, depth + 1, counted)
    return counted
