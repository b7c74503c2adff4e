"""How the search went: the best so far over time and over the epochs spent."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from search.report_page.figures import (
    NARROW,
    SYMBOLS,
    axis,
    floor_of,
    layout,
    percent,
    plain,
    rule,
    share,
    span,
)
from search.report_page.parts import Figure, Grid, Legend, Part, Section, Text
from search.results import SearchRecord, TrialRecord
from search.tables import start_words
from search.words import duration
from trainable.config import BEST_OBJECTIVE
from trainable.objectives import objective_words

_UNITS: Final = ((3 * 86400.0, 86400.0, "days"), (3 * 3600.0, 3600.0, "hours"))
_MINUTES: Final = (60.0, "minutes")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """An epoch of a trial as it ended."""

    elapsed_s: float
    """Seconds of searching, over all attempts; what lies between two of them does not count."""
    epochs: int
    """Spent by then in all trials; epochs that a restart made void were spent as well."""
    trial: int
    best: float
    """Of that trial, so far."""


def moments(events: Iterable[Mapping[str, Any]]) -> list[Moment]:
    """All epochs of the trials in the order in which they ended; those of a confirmation not."""
    found: list[Moment] = []
    before = began = last = 0.0
    for event in events:
        if event["event"] == "search_started":
            before += last - began
            began = event["time"]
        last = event["time"]
        if event["event"] == "epoch" and event["metrics"].get("best/epoch"):
            found.append(
                Moment(
                    elapsed_s=before + last - began,
                    epochs=len(found) + 1,
                    trial=event["trial"],
                    best=float(event["metrics"][BEST_OBJECTIVE]),
                )
            )
    return found


def improvements(seen: Sequence[Moment]) -> list[Moment]:
    """The moments at which the search had a better best than before."""
    best: list[Moment] = []
    for moment in seen:
        if not best or moment.best > best[-1].best:
            best.append(moment)
    return best


def history_section(record: SearchRecord, events: Sequence[Mapping[str, Any]]) -> Section:
    """Best so far, twice: against the clock, and against what it cost."""
    seen = moments(events)
    parts: tuple[Part, ...] = (Text(text="No trial has finished an epoch yet."),)
    if seen:
        ends = {moment.trial: moment for moment in seen}
        unit_s, unit = _unit(seen[-1].elapsed_s)
        over_time = _figure(
            record, seen, ends, "time", f"{unit} of searching", [m.elapsed_s / unit_s for m in seen]
        )
        over_epochs = _figure(
            record, seen, ends, "epochs", "epochs, all trials", [float(m.epochs) for m in seen]
        )
        parts = (
            status_legend(record),
            Grid(figures=(over_time, over_epochs)),
        )
    return Section(name="history", title="Best so far", parts=parts)


def status_legend(record: SearchRecord) -> Legend:
    """The statuses that this search has, and the two trials that are always told apart."""
    statuses = [name for name in SYMBOLS if any(t.status == name for t in record.trials)]
    entries = [(name, name.replace("_", " ")) for name in statuses]
    if record.best is not None:
        entries.append(("best", f"best, trial {record.best.number}"))
    if record.paper is not None:
        entries.append(("paper", f"trial {record.paper.number}, {start_words(record)}"))
    return Legend(entries=tuple(entries))


def trial_markers(trial: TrialRecord) -> dict[str, Any]:
    """Colour and symbol of a trial's status."""
    return {"color": f"@{trial.status}", "symbol": SYMBOLS.get(trial.status, "circle")}


def _unit(seconds: float) -> tuple[float, str]:
    for least, unit_s, name in _UNITS:
        if seconds >= least:
            return unit_s, name
    return _MINUTES


def _figure(
    record: SearchRecord,
    seen: Sequence[Moment],
    ends: Mapping[int, Moment],
    name: str,
    x_title: str,
    places: Sequence[float],
) -> Figure:
    judged = objective_words(record.spec.config.objective)
    where = dict(zip(map(id, seen), places, strict=True))
    steps = improvements(seen)
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [*(where[id(m)] for m in steps), places[-1]],
        "y": [percent(m.best) for m in (*steps, steps[-1])],
        "line": {"shape": "hv", "color": "@best", "width": 2.5},
        "marker": {"size": [*([6] * len(steps)), 0], "color": "@best"},
        "customdata": [[m.trial] for m in (*steps, steps[-1])],
        "hovertemplate": "best so far %{y:.2f} %<br>trial %{customdata[0]}<extra></extra>",
    }
    values = [percent(moment.best) for moment in ends.values()]
    low = floor_of(values)
    shapes = []
    start = record.trials[0] if record.trials and record.trials[0].best_epoch else None
    if start is not None and start.best_objective is not None:
        shapes.append(rule(percent(start.best_objective), across=True, colour="@paper"))
    return Figure(
        name=f"history-{name}",
        title=f"Best validation {judged} so far, by {'time' if name == 'time' else 'epochs'}",
        caption=_caption(name, steps, seen, sum(value < low for value in values)),
        traces=(*_ends(record, ends, where, low), line),
        layout=layout(
            axis(x_title, rangemode="tozero"),
            axis(f"{judged} (%)", range=span(low, percent(steps[-1].best))),
            shapes=shapes,
        ),
        height=NARROW,
    )


def _ends(
    record: SearchRecord, ends: Mapping[int, Moment], where: Mapping[int, float], low: float
) -> list[dict[str, Any]]:
    """The best of each trial at its last epoch: one trace a status."""
    traces: list[dict[str, Any]] = []
    for status in SYMBOLS:
        rows = [t for t in record.trials if t.status == status and t.number in ends]
        if not rows:
            continue
        values = [percent(ends[trial.number].best) for trial in rows]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": status,
                "x": [where[id(ends[trial.number])] for trial in rows],
                "y": [max(value, low) for value in values],
                "marker": {**trial_markers(rows[0]), "size": 8},
                "customdata": [
                    [t.number, plain(status.replace("_", " ")), value, len(t.epochs)]
                    for t, value in zip(rows, values, strict=True)
                ],
                "hovertemplate": "trial %{customdata[0]}, %{customdata[1]}<br>best "
                "%{customdata[2]:.2f} % in %{customdata[3]} epochs<extra></extra>",
            }
        )
    return traces


def _caption(name: str, steps: Sequence[Moment], seen: Sequence[Moment], below: int) -> str:
    last, end = steps[-1], seen[-1]
    if name == "time":
        done, whole = duration(last.elapsed_s), duration(end.elapsed_s)
    else:
        done, whole = f"{last.epochs:,} epochs", f"{end.epochs:,}"
    said = (
        f"The best value, {100 * last.best:.2f} %, was reached by trial {last.trial} after {done} "
        f"of {whole}"
    )
    if name == "epochs":
        said += f" ({share(last.epochs / end.epochs)} of the work)"
    said += ". Each mark is a trial at its last epoch; the dotted line is where the search began."
    return said + (f" {below} lower ones are drawn at the edge." if below else "")
