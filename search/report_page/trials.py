"""The trials one by one, those that broke down, and the confirmation of the best."""

from collections.abc import Mapping
from typing import Any, Final

from search.confirm_table import confirmation_notes
from search.report_page.figures import axis, layout, percent, plain
from search.report_page.parts import Figure, Part, Section, Table, Text
from search.report_page.ranges import dimensions, sampled_names, shown_name
from search.results import SearchRecord
from search.tables import start_words
from search.words import duration, value
from trainable.objectives import objective_words

MOST_ROWS: Final = 500
_BROKEN: Final = ("failed", "out_of_memory", "diverged")


def failures_section(record: SearchRecord) -> Section:
    """Trials that broke down or began again, with the reasons."""
    broken = [t for t in record.trials if t.status in _BROKEN or t.restarts]
    parts: list[Part] = []
    if not broken:
        parts.append(Text(text="No trial failed, diverged or ran out of memory."))
    else:
        counts = {name: sum(t.status == name for t in broken) for name in _BROKEN}
        told = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count]
        again = sum(bool(trial.restarts) for trial in broken)
        told += [f"{again} began again"] if again else []
        parts.append(Text(text=f"Of {len(record.trials)} trials: {', '.join(told)}."))
        parts.append(
            Table(
                title="Trials that broke down or began again",
                columns=("ended", "reason", "sampled", "trial", "epochs"),
                rows=tuple(
                    (
                        trial.status.replace("_", " "),
                        "; ".join([*(f"again: {why}" for why in trial.restarts), trial.reason]),
                        ", ".join(
                            f"{shown_name(name)} {value(x)}" for name, x in trial.params.items()
                        ),
                        str(trial.number),
                        str(len(trial.epochs)),
                    )
                    for trial in broken[:MOST_ROWS]
                ),
                texts=frozenset({0, 1, 2}),
            )
        )
    if record.status == "failed":
        parts.append(Text(text=f"The search itself failed: {record.reason}"))
    return Section(name="failures", title="Failures", parts=tuple(parts))


def trials_section(record: SearchRecord) -> Section:
    """All trials, the best first."""
    if not record.trials:
        text = Text(text="No trial has begun yet.")
        return Section(name="trials", title="All trials", parts=(text,))
    names = sampled_names({n: 0 for t in record.trials for n in t.params}, dimensions(record))
    ranked = sorted(record.trials, key=lambda t: (-(t.best_objective or -1.0), t.number))
    rows = tuple(
        (
            trial.status.replace("_", " "),
            str(trial.number),
            "-" if trial.best_objective is None else f"{100 * trial.best_objective:.2f}",
            str(trial.best_epoch or "-"),
            str(len(trial.epochs)),
            duration(trial.ended - trial.started) if trial.ended else "-",
            *(value(trial.params.get(name)) for name in names),
        )
        for trial in ranked[:MOST_ROWS]
    )
    more = len(ranked) - len(rows)
    table = Table(
        title=f"{len(record.trials)} trials, the best first",
        columns=(
            "ended",
            "trial",
            "val %",
            "best epoch",
            "epochs",
            "took",
            *map(shown_name, names),
        ),
        rows=rows,
        strong=frozenset({0}),
        notes=(f"{more} more are in `trials.csv`.",) if more else (),
        folded=len(rows) > 12,
    )
    return Section(name="trials", title="All trials", parts=(table,))


def confirmation_section(record: SearchRecord, summary: Mapping[str, Any]) -> Section | None:
    """The best trained again with other seeds; None where that was not asked for."""
    confirmed = summary["confirmation"]
    if not confirmed:
        return None
    words = start_words(record)
    notes = [f"{note[0].upper()}{note[1:]}." for note in confirmation_notes(confirmed, words)]
    parts: list[Part] = []
    if any(row["objectives"] for row in confirmed["candidates"]):
        parts.append(_seeds_figure(confirmed, words))
    parts.append(_candidates(confirmed, words))
    parts += [Text(text=note) for note in notes]
    return Section(name="confirmation", title="Confirmed with other seeds", parts=tuple(parts))


def _seeds_figure(confirmed: Mapping[str, Any], words: str) -> Figure:
    judged = objective_words(confirmed["objective"])
    rows = [row for row in reversed(confirmed["candidates"]) if row["objectives"]]
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [percent(score) for score in row["objectives"].values()],
            "y": [plain(_name(row, words))] * len(row["objectives"]),
            "marker": {"size": 10, "color": _colour(row, confirmed), "opacity": 0.8},
            "customdata": [[seed] for seed in row["objectives"]],
            "hovertemplate": "seed %{customdata[0]}: %{x:.2f} %<extra></extra>",
        }
        for row in rows
    ]
    ranked = [row for row in rows if row["mean"] is not None]
    means = {
        "type": "scatter",
        "mode": "markers",
        "x": [percent(row["mean"]) for row in ranked],
        "y": [plain(_name(row, words)) for row in ranked],
        "marker": {"symbol": "line-ns-open", "size": 26, "color": "@ink", "line": {"width": 2}},
        "hovertemplate": "mean %{x:.2f} %<extra></extra>",
    }
    return Figure(
        name="seeds",
        title=f"Validation {judged} with other seeds",
        caption="A dot is a run with one seed, the line the mean. What chose a trial in the search "
        "was one seed, and luck with it: the means may well lie below it.",
        traces=(*traces, means),
        layout=layout(axis(f"{judged} (%)"), axis("", type="category"), hovermode="closest"),
        height=90 + 48 * len(rows),
    )


def _colour(row: Mapping[str, Any], confirmed: Mapping[str, Any]) -> str:
    if row["trial"] == confirmed["winner"]:
        return "@best"
    return "@paper" if row["paper_values"] else "@completed"


def _name(row: Mapping[str, Any], words: str) -> str:
    return f"trial {row['trial']}" + (f" ({words})" if row["paper_values"] else "")


def _candidates(confirmed: Mapping[str, Any], words: str) -> Table:
    rows = []
    for row in confirmed["candidates"]:
        broken = [
            f"{run['status'].replace('_', ' ')} with seed {run['seed']}" for run in row["broken"]
        ]
        remarks = ["winner"] if row["trial"] == confirmed["winner"] else []
        numbers = [row["search_objective"], row["mean"], row["sd"]]
        rows.append(
            (
                _name(row, words),
                ", ".join([*remarks, *broken]),
                *("-" if number is None else f"{100 * number:.2f}" for number in numbers),
                str(row["n"]),
            )
        )
    return Table(
        title="Candidates, per cent",
        columns=("configuration", "", "in the search", "mean", "sd", "seeds"),
        rows=tuple(rows),
        texts=frozenset({0, 1}),
    )
