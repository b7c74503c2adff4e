"""What all figures share: colours by name, axes, and text that Plotly takes literally.

Figures are plain dicts in Plotly's schema, so that a report is written without importing Plotly's
classes (the tests hold every figure against them). A colour is a name such as `@stopped`: the page
puts in the one of the reader's light or dark scheme. Both palettes are from Okabe and Ito and from
Tol, made for colour-blind readers; a status also has a symbol of its own.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

THEMES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "light": MappingProxyType(
            {
                **{"ink": "#1f2328", "grid": "#e3e6ea", "muted": "#6e7781", "ground": "#ffffff"},
                **{"completed": "#0072b2", "stopped": "#8a8f98", "running": "#2aa7e0"},
                **{"interrupted": "#a08a00", "diverged": "#d55e00", "failed": "#a3123f"},
                **{"out_of_memory": "#b3558f", "best": "#e08e00", "paper": "#1f2328"},
                **{"head": "#117733", "medium": "#2f9e8f", "tail": "#aa4499", "all": "#5b6370"},
                **{"micro": "#0072b2", "macro": "#d55e00", "low": "#c9d0d9", "high": "#0072b2"},
            }
        ),
        "dark": MappingProxyType(
            {
                **{"ink": "#e6e9ee", "grid": "#333942", "muted": "#98a1ad", "ground": "#16191f"},
                **{"completed": "#56b4e9", "stopped": "#8d95a1", "running": "#a5dcff"},
                **{"interrupted": "#d9c52f", "diverged": "#ff8a3d", "failed": "#ff6b8b"},
                **{"out_of_memory": "#e29bc9", "best": "#ffb52e", "paper": "#e6e9ee"},
                **{"head": "#5bbd72", "medium": "#5fd0c0", "tail": "#dd88cc", "all": "#a5adb8"},
                **{"micro": "#56b4e9", "macro": "#ff8a3d", "low": "#39404a", "high": "#7cc8f5"},
            }
        ),
    }
)
SYMBOLS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{"completed": "circle", "stopped": "circle-open", "running": "triangle-right"},
        **{"interrupted": "square-open", "diverged": "x", "failed": "cross"},
        "out_of_memory": "diamond-open",
    }
)
NARROW: Final = 300
"""Pixels in height, of figures that stand side by side."""


def plain(text: object) -> str:
    """Text that Plotly shows as it is; it would read `<b>` and `<a href=...>` as HTML.

    >>> plain("<b>a & b")
    '&lt;b&gt;a &amp; b'
    """
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def percent(score: float) -> float:
    """A score in per cent, with as many digits as anybody looks at.

    >>> percent(0.873456)
    87.346
    """
    return round(100 * score, 3)


def share(part: float) -> str:
    """A share for people.

    >>> share(0.758)
    '76 %'
    """
    return f"{100 * part:.0f} %"


def axis(title: str, **options: Any) -> dict[str, Any]:
    """An axis with a title."""
    return {"title": {"text": plain(title)}, "automargin": True, **options}


def layout(x: dict[str, Any], y: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Of a figure with one pair of axes; the page adds fonts and colours."""
    return {"xaxis": x, "yaxis": y, "showlegend": False, **options}


def rule(at: float, *, across: bool = False, colour: str = "@muted") -> dict[str, Any]:
    """A dotted line over the whole picture: upright, or `across` it."""
    along, fixed = ("x", "y") if across else ("y", "x")
    return {
        "type": "line",
        **{f"{along}ref": "paper", f"{along}0": 0, f"{along}1": 1},
        **{f"{fixed}0": at, f"{fixed}1": at},
        "line": {"color": colour, "width": 1, "dash": "dot"},
        "layer": "below",
    }


def note_at(x: float, text: str, *, y: float = 1.0) -> dict[str, Any]:
    """Words at the upper end of an upright line; `y` is a share of the height."""
    return {
        **{"x": x, "y": y, "yref": "paper", "text": plain(text), "showarrow": False},
        **{"xanchor": "left", "yanchor": "top", "font": {"size": 11, "color": "@muted"}},
    }


def floor_of(values: Sequence[float]) -> float:
    """Where an axis may begin so that the good values fill it; lower ones are drawn at its edge.

    That is Tukey's lower fence, or the lowest value if nothing is below it.

    >>> floor_of([0.0, 80.0, 81.0, 82.0, 83.0, 84.0])
    76.0
    """
    if len(values) < 4:
        return min(values, default=0.0)
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return max(min(values), float(math.floor(lower - 1.5 * (upper - lower))))


def span(low: float, high: float) -> list[float]:
    """The range of an axis with some air around the values."""
    air = max(0.06 * (high - low), 0.2)
    return [low - air, high + air]
