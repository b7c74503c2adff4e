"""Parallel coordinates: a line a trial through all it sampled, coloured by its score.

Plotly's parcoords, for its brushes: drag along an axis, and only the trials there are left. It
takes numbers only, so log scales and choices are laid out here, and a setting that a trial does
not have (a search over several losses) gets a place of its own below the axis.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from search.report_page.figures import floor_of, percent, plain
from search.report_page.parts import Figure
from search.report_page.ranges import shown_name
from search.results import SearchRecord, TrialRecord
from spaces.dimension import Dimension
from trainable.objectives import objective_words

_AXIS_WIDTH: Final = 105
_TICKS: Final = 5
_BELOW: Final = 0.12
"""Of an axis: how far below it lies what a trial does not have."""


def parallel_figure(
    record: SearchRecord, trials: Sequence[TrialRecord], space: Mapping[str, Dimension]
) -> Figure:
    """One line a trial; at least one trial."""
    judged = objective_words(record.spec.config.objective, short=True)
    scores = [percent(trial.best_objective or 0.0) for trial in trials]
    low, high = floor_of(scores), max(scores)
    ends = [low, high if high > low else low + 1.0]
    shown = [max(score, low) for score in scores]
    rows = [
        _coordinate(dimension, trials)
        for name, dimension in space.items()
        if any(name in trial.params for trial in trials)
    ]
    steps = [ends[0] + index * (ends[1] - ends[0]) / (_TICKS - 1) for index in range(_TICKS)]
    last = {
        "label": plain(f"{judged} (%)"),
        "values": shown,
        "range": ends,
        "tickvals": steps,
        "ticktext": [f"{step:.1f}" for step in steps],
    }
    return Figure(
        name="parallel",
        title="All settings at once",
        caption="A line is a trial; the stronger its colour, the better its best epoch, and orange "
        "the very best. Drag along an axis to keep only the lines that pass there, click to let "
        "all of them back.",
        traces=(
            {
                "type": "parcoords",
                "line": {
                    "color": shown,
                    "colorscale": [[0.0, "@low"], [0.9, "@high"], [1.0, "@best"]],
                    "cmin": ends[0],
                    "cmax": ends[1],
                },
                "labelfont": {"color": "@ink", "size": 12},
                "tickfont": {"color": "@ink", "size": 11, "shadow": "none"},
                "rangefont": {"color": "rgba(0,0,0,0)", "size": 1},
                "dimensions": [*rows, last],
            },
        ),
        layout={"margin": {"l": 60, "r": 60, "t": 50, "b": 30}},
        height=380,
        least_width=max(420, _AXIS_WIDTH * (len(rows) + 1)),
    )


def _coordinate(dimension: Dimension, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """One axis: where each trial lies on it, and what is written beside it."""
    name = dimension.name
    has = [trial for trial in trials if name in trial.params]
    places, ticks, words = _choices(dimension) if dimension.choices else _numbers(dimension)
    low, high = (0.0, float(max(len(ticks) - 1, 1))) if dimension.choices else (ticks[0], ticks[-1])
    if len(has) < len(trials):
        low -= _BELOW * (high - low)
        ticks, words = [low, *ticks], ["not sampled", *words]
    values = [places(trial.params[name]) if name in trial.params else low for trial in trials]
    # an edited range may no longer hold what was sampled from an earlier one
    return {
        "label": plain(shown_name(name)),
        "values": values,
        "range": [min(low, *values), max(high, *values)],
        "tickvals": ticks,
        "ticktext": words,
    }


def _choices(dimension: Dimension) -> tuple[Any, list[float], list[str]]:
    choices = list(dimension.choices or ())

    def place(value: Any) -> float:
        return float(choices.index(value)) if value in choices else 0.0

    return place, [float(index) for index in range(len(choices))], [plain(c) for c in choices]


def _numbers(dimension: Dimension) -> tuple[Any, list[float], list[str]]:
    low, high = float(dimension.low or 0.0), float(dimension.high or 0.0)

    def place(value: Any) -> float:
        return math.log10(value) if dimension.log else float(value)

    first, last = place(low), place(high)
    ticks = [first + index * (last - first) / (_TICKS - 1) for index in range(_TICKS)]
    return place, ticks, [f"{10**tick if dimension.log else tick:.2g}" for tick in ticks]
