"""The learning curves of all trials, with ASHA's rungs and where trials were stopped.

Long searches are thinned, and the caption says so: a picture of more than `MOST_POINTS` points is
slow in a browser and shows nothing that fewer would not.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from search.report_page.cost import saved_by_asha, stopped_by_asha
from search.report_page.figures import (
    SYMBOLS,
    axis,
    floor_of,
    layout,
    note_at,
    percent,
    plain,
    rule,
    share,
    span,
)
from search.report_page.history import status_legend
from search.report_page.parts import Figure, Section, Text
from search.report_page.ranges import in_search
from search.results import SearchRecord, TrialRecord
from search.rising import NOISE
from search.tables import start_words
from trainable.config import OBJECTIVE
from trainable.objectives import objective_words

MOST_CURVES: Final = 200
MOST_POINTS: Final = 6000


def curves_section(record: SearchRecord, summary: Mapping[str, Any]) -> Section:
    """All curves in one picture."""
    title = "Learning curves"
    drawn = [trial for trial in record.trials if _scored(trial)]
    if not drawn:
        text = Text(text="No trial has finished an epoch yet.")
        return Section(name="curves", title=title, parts=(text,))
    shown, every = thinned(drawn)
    judged = objective_words(record.spec.config.objective)
    ends = [percent(rows[-1][OBJECTIVE]) for rows in map(_scored, shown)]
    highest = max(percent(row[OBJECTIVE]) for trial in shown for row in _scored(trial))
    rungs = [rung for rung in record.spec.rungs if rung <= _longest(shown)]
    figure = Figure(
        name="learning-curves",
        title=f"Validation {judged} by epoch",
        caption=_caption(record, summary, len(drawn) - len(shown), every),
        traces=tuple(_traces(record, shown, every)),
        layout=layout(
            axis("epoch", range=[0.5, _longest(shown) + 0.5], tickformat="d"),
            axis(f"{judged} (%)", range=span(floor_of(ends), highest)),
            shapes=[rule(rung) for rung in rungs],
            annotations=[note_at(rung, f"rung {rung}", y=0.06) for rung in rungs],
            hovermode="closest",
        ),
        height=460,
    )
    return Section(name="curves", title=title, parts=(status_legend(record), figure))


def thinned(trials: Sequence[TrialRecord]) -> tuple[list[TrialRecord], int]:
    """The trials to draw, and of the epochs of each every how many.

    Of too many trials the better half of the room goes to the best, the rest evenly to the others.
    """
    if len(trials) > MOST_CURVES:
        ranked = sorted(trials, key=lambda t: (-(t.best_objective or 0.0), t.number))
        best, others = ranked[: MOST_CURVES // 2], ranked[MOST_CURVES // 2 :]
        step = len(others) / (MOST_CURVES - len(best))
        some = [others[int(index * step)] for index in range(MOST_CURVES - len(best))]
        trials = sorted((*best, *some), key=lambda t: t.number)
    points = sum(len(trial.epochs) for trial in trials)
    return list(trials), max(1, math.ceil(points / MOST_POINTS))


def _scored(trial: TrialRecord) -> list[Mapping[str, Any]]:
    return [row for row in trial.epochs if OBJECTIVE in row]


def _longest(trials: Sequence[TrialRecord]) -> int:
    return max(int(row["epoch"]) for trial in trials for row in trial.epochs)


def _kept(trial: TrialRecord, every: int) -> list[Mapping[str, Any]]:
    """Every so many epochs, and always the first, the best and the last."""
    rows = _scored(trial)
    always = {rows[0]["epoch"], rows[-1]["epoch"], trial.best_epoch}
    return [row for row in rows if row["epoch"] in always or row["epoch"] % every == 0]


def _traces(record: SearchRecord, shown: Sequence[TrialRecord], every: int) -> list[dict[str, Any]]:
    """One trace a status, its curves with gaps between; trial 0 and the best on top of them."""
    ours = (in_search(record, record.paper), in_search(record, record.best))
    own = {t.number: t for t in ours if t is not None and _scored(t)}
    traces = []
    for status in SYMBOLS:
        rows = [t for t in shown if t.status == status and t.number not in own]
        if rows:
            traces.append(_bundle(rows, status, every))
    for number, trial in own.items():
        is_best = record.best is not None and number == record.best.number
        words = "best" if is_best else start_words(record)
        style = {"color": "@best" if is_best else "@paper", "width": 3 if is_best else 2}
        trace = _bundle([trial], trial.status, 1)
        trace |= {"line": {**style, "dash": "solid" if is_best else "dash"}, "opacity": 1.0}
        trace["name"] = words
        trace["marker"] = {**trace["marker"], "color": style["color"]}
        traces.append(trace)
    return traces


def _bundle(trials: Sequence[TrialRecord], status: str, every: int) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float | None] = []
    data: list[list[Any]] = []
    sizes: list[int] = []
    for trial in trials:
        rows = _kept(trial, every)
        x += [*(row["epoch"] for row in rows), None]
        y += [*(percent(row[OBJECTIVE]) for row in rows), None]
        data += [[trial.number, plain(status.replace("_", " "))]] * (len(rows) + 1)
        sizes += [*([3] * (len(rows) - 1)), 8, 0]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": status,
        "x": x,
        "y": y,
        "connectgaps": False,
        "line": {"color": f"@{status}", "width": 1.3},
        "marker": {"color": f"@{status}", "symbol": SYMBOLS.get(status, "circle"), "size": sizes},
        "opacity": 0.75,
        "customdata": data,
        "hovertemplate": "trial %{customdata[0]}, %{customdata[1]}<br>epoch %{x}: "
        "%{y:.2f} %<extra></extra>",
    }


def _caption(record: SearchRecord, summary: Mapping[str, Any], hidden: int, every: int) -> str:
    stopped, ended = stopped_by_asha(record), [t for t in record.trials if t.ended is not None]
    saved, planned = saved_by_asha(record)
    said = [
        f"ASHA stopped {len(stopped)} of {len(ended)} trials and saved {saved:,} of {planned:,} "
        f"epochs ({share(saved / planned)})."
        if stopped
        else "ASHA stopped no trial."
    ]
    rising, close = summary["rising_at_stop"], summary["catching_up_at_stop"]
    if rising:
        said.append(
            f"{len(rising)} of the stopped ones had gained more than {100 * NOISE:.1f} points in "
            f"their last two epochs; {len(close) or 'none'} of them "
            f"{'were' if len(close) > 1 else 'was'} catching up with the best."
        )
    said.append("The larger mark is the last epoch of a trial.")
    if hidden:
        said.append(
            f"Drawn: the best {MOST_CURVES // 2} trials and as many of the others, evenly spaced; "
            f"{hidden} are not."
        )
    if every > 1:
        said.append(f"Of each curve, every {every} epochs are drawn, and its best one.")
    return " ".join(said)
