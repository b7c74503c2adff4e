"""A space as rows of text, for the console."""

from spaces.dimension import Dimension
from spaces.space import Space, applies

SPACE_COLUMNS = ("setting", "range", "scale", "paper", "role", "reason", "losses")


def space_rows(space: Space) -> list[tuple[str, ...]]:
    """One row per dimension, with the columns of `SPACE_COLUMNS`, all text."""
    return [
        (
            dimension.name,
            _range(dimension),
            _scale(dimension),
            "-" if dimension.paper is None else _text(dimension.paper),
            dimension.role,
            dimension.reason,
            _losses(space, dimension.name),
        )
        for dimension in space.dimensions
    ]


def _losses(space: Space, name: str) -> str:
    """Those that have the setting, if not all of them do."""
    having = [loss for loss in space.losses if applies(name, loss)]
    return "" if len(having) == len(space.losses) else ", ".join(having)


def _range(dimension: Dimension) -> str:
    if dimension.choices is not None:
        return ", ".join(_text(choice) for choice in dimension.choices)
    return f"{_text(dimension.low)} .. {_text(dimension.high)}"


def _scale(dimension: Dimension) -> str:
    if dimension.choices is not None:
        return "choices"
    scale = "logarithmic" if dimension.log else "linear"
    return f"{scale}, integer" if dimension.integer else scale


def _text(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
