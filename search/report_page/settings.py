"""What the settings did: importance, a slice each, parallel coordinates, the front of two."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from search.pareto import pareto_front, scores_at_best
from search.report_page.figures import (
    SYMBOLS,
    axis,
    floor_of,
    layout,
    percent,
    plain,
    rule,
    span,
)
from search.report_page.history import status_legend, trial_markers
from search.report_page.importance import LEAST_TRIALS, MOST_TRIALS, Importance, importance
from search.report_page.parallel import parallel_figure
from search.report_page.parts import Figure, Grid, Part, Section, Text
from search.report_page.ranges import dimensions, in_search, log_ticks, shown_name
from search.results import SearchRecord, TrialRecord
from spaces.dimension import Dimension
from trainable.objectives import objective_words

MOST_MARKS: Final = 1000
_SLICE_HEIGHT: Final = 210


def settings_section(record: SearchRecord) -> Section:
    """Everything about what was sampled."""
    space = dimensions(record)
    scored = [trial for trial in record.trials if trial.best_epoch]
    parts: list[Part] = []
    if len(scored) < 2 or not space:
        parts.append(Text(text="Two trials with a finished epoch are needed to compare settings."))
    else:
        rated = importance(record, space)
        if isinstance(rated, Importance):
            parts.append(_importance_figure(rated))
        else:
            parts.append(
                Text(
                    text=f"The importance of the settings is not shown: {rated} trials can be "
                    f"compared at the same epoch, and it takes {LEAST_TRIALS} to tell anything."
                )
            )
        parts += _slices(record, _marked(scored), space)
        parts.append(parallel_figure(record, _marked(scored), space))
    return Section(name="settings", title="Settings", parts=tuple(parts))


def pareto_section(record: SearchRecord) -> Section | None:
    """The two scores of each trial; None where one objective is searched for."""
    names = record.spec.pareto_scores
    if not names:
        return None
    title = "Two scores traded off"
    scored = _marked([trial for trial in record.trials if trial.best_epoch])
    if not scored:
        text = Text(text="No trial has finished an epoch yet.")
        return Section(name="pareto", title=title, parts=(text,))
    first, second = map(objective_words, names)
    front = pareto_front(record)
    points = [[percent(score) for score in scores_at_best(trial, names)] for trial in front]
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        **{"x": [point[0] for point in points], "y": [point[1] for point in points]},
        "line": {"color": "@best", "width": 2},
        "marker": {"size": 10, "color": "@best", "symbol": "diamond"},
        "customdata": [[trial.number] for trial in front],
        "hovertemplate": "trial %{customdata[0]}: %{x:.2f} %, %{y:.2f} %<extra></extra>",
    }
    traces = []
    for status in SYMBOLS:
        rows = [trial for trial in scored if trial.status == status]
        if rows:
            pairs = [scores_at_best(trial, names) for trial in rows]
            traces.append(_marks(rows, [percent(a) for a, _ in pairs], [b for _, b in pairs]))
    named = ", ".join(str(trial.number) for trial in front)
    figure = Figure(
        name="pareto-front",
        title=f"Validation {first} against {second}",
        caption=f"Trials that no other beats in both scores: {named}. `export --trial N` takes "
        "another than the one with the highest mean.",
        traces=(*traces, line),
        layout=layout(axis(f"{first} (%)"), axis(f"{second} (%)"), hovermode="closest"),
    )
    return Section(name="pareto", title=title, parts=(status_legend(record), figure))


def _importance_figure(rated: Importance) -> Figure:
    names = list(reversed(list(rated.shares)))  # Plotly draws upwards
    chance = rated.by_chance
    real = [name for name, share in rated.shares.items() if share > chance]
    if len(rated.shares) < 2:
        said = "One setting alone is common to all trials: there is nothing to weigh it against."
    elif real:
        said = f"Above what chance gives: {', '.join(map(shown_name, real))}."
    else:
        said = "No setting stands out from what chance gives: the trials are too few, or too alike."
    said += (
        f" Share of the variance of the trials' ranks at epoch {rated.epoch}, which nearly all "
        f"reached ({rated.trials} trials; functional ANOVA). The dotted line is what the largest "
        "share is when the scores are shuffled. It tells what made a difference within these "
        "ranges, not which way."
    )
    if rated.trials >= MOST_TRIALS:
        said += f" Rated by {MOST_TRIALS} trials, evenly spaced."
    if rated.left_out:
        names_left = ", ".join(map(shown_name, rated.left_out))
        said += f" Not rated, since only some trials have them or they never vary: {names_left}."
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [percent(rated.shares[name]) for name in names],
        "y": [plain(shown_name(name)) for name in names],
        "marker": {
            "color": ["@micro" if rated.shares[name] > chance else "@stopped" for name in names]
        },
        "hovertemplate": "%{y}: %{x:.0f} %<extra></extra>",
    }
    return Figure(
        name="importance",
        title="Importance of the settings",
        caption=said,
        traces=(bars,),
        layout=layout(
            axis("share of the variance (%)", range=[0, 100]),
            axis("", type="category"),
            shapes=[rule(percent(chance))],
        ),
        height=110 + 30 * len(names),
    )


def _slices(
    record: SearchRecord, scored: Sequence[TrialRecord], space: Mapping[str, Dimension]
) -> list[Part]:
    figures = tuple(
        _slice(record, [trial for trial in scored if name in trial.params], dimension)
        for name, dimension in space.items()
        if any(name in trial.params for trial in scored)
    )
    judged = objective_words(record.spec.config.objective)
    words = (
        f"Each setting against the best validation {judged} of each trial. Stopped trials were "
        "scored after fewer epochs, so compare marks of one kind."
    )
    return [Text(text=words), status_legend(record), Grid(figures=figures)]


def _slice(record: SearchRecord, trials: Sequence[TrialRecord], dimension: Dimension) -> Figure:
    values = [percent(trial.best_objective or 0.0) for trial in trials]
    low = floor_of(values)
    traces = []
    for status in SYMBOLS:
        rows = [trial for trial in trials if trial.status == status]
        if rows:
            heights = [max(percent(t.best_objective or 0.0), low) / 100 for t in rows]
            traces.append(_marks(rows, [place(dimension, t) for t in rows], heights))
    for trial, colour, symbol in (
        (in_search(record, record.paper), "@paper", "diamond-open"),
        (in_search(record, record.best), "@best", "star"),
    ):
        if trial is not None and trial.best_epoch and dimension.name in trial.params:
            height = max(percent(trial.best_objective or 0.0), low) / 100
            own = _marks([trial], [place(dimension, trial)], [height])
            own["marker"] = {"color": colour, "symbol": symbol, "size": 13}
            traces.append(own)
    below = sum(value < low for value in values)
    return Figure(
        name=f"slice-{dimension.name.replace('_', '-')}",
        title=shown_name(dimension.name),
        caption=f"{below} lower ones at the edge." if below else "",
        traces=tuple(traces),
        layout=layout(
            _setting_axis(dimension),
            axis("%", range=span(low, max(values))),
            hovermode="closest",
            margin={"l": 46, "r": 10, "t": 8, "b": 30},
        ),
        height=_SLICE_HEIGHT,
    )


def place(dimension: Dimension, trial: TrialRecord) -> Any:
    """A trial's value of a setting as Plotly takes it."""
    value = trial.params[dimension.name]
    return plain(value) if dimension.choices is not None else value


def _setting_axis(dimension: Dimension) -> dict[str, Any]:
    if dimension.choices is not None:
        names = [plain(choice) for choice in dimension.choices]
        return axis("", type="category", categoryorder="array", categoryarray=names)
    low, high = float(dimension.low or 0.0), float(dimension.high or 0.0)
    if dimension.log:
        ends = [math.log10(low), math.log10(high)]
        air = 0.04 * (ends[1] - ends[0])
        ticks = log_ticks(low, high)
        return axis(
            "",
            type="log",
            range=[ends[0] - air, ends[1] + air],
            tickvals=ticks,
            ticktext=[f"{tick:g}" for tick in ticks],
        )
    air = 0.04 * (high - low)
    return axis("", range=[low - air, high + air])


def _marks(
    trials: Sequence[TrialRecord], places: Sequence[Any], scores: Sequence[float]
) -> dict[str, Any]:
    """Trials of one status; `scores` in [0, 1]."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(places),
        "y": [percent(score) for score in scores],
        "marker": {**trial_markers(trials[0]), "size": 8},
        "customdata": [
            [t.number, plain(t.status.replace("_", " ")), percent(t.best_objective or 0.0)]
            for t in trials
        ],
        "hovertemplate": "trial %{customdata[0]}, %{customdata[1]}<br>%{x}<br>"
        "%{customdata[2]:.2f} %<extra></extra>",
    }


def _marked(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The best so many, for a browser's sake."""
    ranked = sorted(trials, key=lambda t: (-(t.best_objective or 0.0), t.number))[:MOST_MARKS]
    return sorted(ranked, key=lambda t: t.number)
