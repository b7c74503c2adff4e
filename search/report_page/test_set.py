"""The sealed test set: groups, labels by frequency, thresholds, precision against recall."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from search.published import PublishedRow, published_row
from search.report_page.figures import axis, layout, note_at, percent, rule
from search.report_page.intervals import TOTAL, interval_of
from search.report_page.labels import frequency_figure, label_table
from search.report_page.parts import Figure, Grid, Part, Section, Text
from search.report_page.ranges import loss_of_best
from search.results import SearchRecord
from trainable.datasets.records import GROUPS

_SHIFTS: Final = (("micro", -0.19), ("macro", 0.19))
_BAR: Final = 0.34
"""Width, where groups are 1 apart."""


def test_section(record: SearchRecord) -> Section:
    """What the test set says of the winner, or why it says nothing yet."""
    title, report = "Test scores", record.test_report
    if report is None:
        why = (
            "The test set is sealed: it is opened once, for the winner, when the search has ended."
        )
        return Section(name="test", title=title, parts=(Text(text=why),))
    published = published_row(record.spec.config.dataset, loss_of_best(record))
    parts: list[Part] = [_groups(report, published)]
    labels = list(report.get("per_label") or ())
    if labels:
        parts.append(frequency_figure(labels))
    curve = report.get("threshold_curve")
    if curve:
        parts.append(Grid(figures=(_thresholds(report, curve), *_precision_recall(report, curve))))
        if not curve.get("micro_precision"):
            parts.append(
                Text(
                    text="Precision against recall is not shown: this search was scored by a "
                    "version that did not keep them."
                )
            )
    if labels:
        parts.append(label_table(labels))
    return Section(name="test", title=title, parts=tuple(parts))


def _groups(report: Mapping[str, Any], published: PublishedRow | None) -> Figure:
    """Bars by group in the group's colour, micro full and macro hatched, with their intervals."""
    groups = [group for group in GROUPS if group in report]
    named = ["all", *groups]
    parts = [report, *(report[group] for group in groups)]
    traces = [_bars(report, named, score, shift) for score, shift in _SHIFTS]
    said = "Full bars are micro-F1, hatched ones macro-F1."
    if traces[0].get("error_y"):
        said += " The whiskers are the intervals over resampled test documents."
    if published is not None:
        traces += [_published(published, groups, index) for index in range(len(_SHIFTS))]
        said += " The lines across are the published values; see the note below the scores."
    ticks = [
        f"{name}<br>{100 * part['micro_f1']:.1f} / {100 * part['macro_f1']:.1f}"
        for name, part in zip(named, parts, strict=True)
    ]
    return Figure(
        name="groups",
        title="Test F1 of head, medium and tail labels",
        caption=f"{_drop(report, groups)} {said}",
        traces=tuple(traces),
        layout=layout(
            axis("", tickvals=list(range(len(named))), ticktext=ticks, showgrid=False, tickangle=0),
            axis("F1 (%)", range=[0, 102], tickvals=[0, 20, 40, 60, 80, 100]),
            barmode="overlay",
        ),
    )


def _bars(
    report: Mapping[str, Any], named: Sequence[str], score: str, shift: float
) -> dict[str, Any]:
    parts = [report if name == "all" else report[name] for name in named]
    heights = [percent(part[f"{score}_f1"]) for part in parts]
    colours = [f"@{name}" for name in named]
    return {
        "type": "bar",
        "x": [index + shift for index in range(len(named))],
        "y": heights,
        "width": _BAR,
        "marker": {
            "color": colours,
            "pattern": {"shape": "" if score == "micro" else "/", "fillmode": "replace"},
            "line": {"color": colours, "width": 1.5},
        },
        "customdata": [[name] for name in named],
        "hovertemplate": f"%{{customdata[0]}}: {score}-F1 %{{y:.2f}} %<extra></extra>",
        **_whiskers(report, named, score, heights),
    }


def _drop(report: Mapping[str, Any], groups: Sequence[str]) -> str:
    if not {"head", "tail"} <= set(groups):
        return (
            f"Micro-F1 {100 * report['micro_f1']:.1f} %, macro-F1 {100 * report['macro_f1']:.1f} %."
        )
    head, tail = (100 * report[group]["micro_f1"] for group in ("head", "tail"))
    return f"From head to tail labels micro-F1 falls by {head - tail:.1f} points."


def _whiskers(
    report: Mapping[str, Any], named: Sequence[str], score: str, heights: Sequence[float]
) -> dict[str, Any]:
    rows = [TOTAL if name == "all" else name for name in named]
    intervals = [interval_of(report, row, f"{score}_f1") for row in rows]
    if not any(intervals):
        return {}
    ends = [
        (percent(found[0]), percent(found[1])) if found else (height, height)
        for found, height in zip(intervals, heights, strict=True)
    ]
    return {
        "error_y": {
            "type": "data",
            "array": [high - height for (_, high), height in zip(ends, heights, strict=True)],
            "arrayminus": [height - low for (low, _), height in zip(ends, heights, strict=True)],
            "color": "@ink",
            "thickness": 1.5,
        }
    }


def _published(published: PublishedRow, groups: Sequence[str], index: int) -> dict[str, Any]:
    """A line across each bar at the published height; `index` 0 is micro, 1 macro."""
    rows = (published.total, *(getattr(published, group) for group in groups))
    score, shift = _SHIFTS[index]
    ends: list[float | None] = []
    heights: list[float | None] = []
    for place, row in enumerate(rows):
        ends += [place + shift - _BAR / 2, place + shift, place + shift + _BAR / 2, None]
        heights += [row[index], row[index], row[index], None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": ends,
        "y": heights,
        "line": {"color": "@ink", "width": 2.5},
        "hovertemplate": f"published {score}-F1 %{{y:.2f}} %<extra></extra>",
    }


def _thresholds(report: Mapping[str, Any], curve: Mapping[str, Sequence[float]]) -> Figure:
    chosen, grid = report["threshold"], curve["threshold"]
    top = max(range(len(grid)), key=lambda index: curve["micro_f1"][index])
    loss = 100 * (curve["micro_f1"][top] - report["micro_f1"])
    half = 100 * (report["micro_f1"] - report["micro_f1_at_0.5"])
    return Figure(
        name="thresholds",
        title="Test F1 by threshold",
        caption=f"Validation chose the threshold {chosen:.2f}. The test set's own best, "
        f"{grid[top]:.2f}, would have given {max(loss, 0.0):.2f} points more micro-F1; 0.5 would "
        f"have given {abs(half):.2f} {'less' if half >= 0 else 'more'}.",
        traces=tuple(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{score}-F1",
                "x": list(grid),
                "y": [percent(value) for value in curve[f"{score}_f1"]],
                "line": {"color": f"@{score}", "width": 2.5, "dash": dash},
                "hovertemplate": f"threshold %{{x:.2f}}: {score}-F1 %{{y:.2f}} %<extra></extra>",
            }
            for score, dash in (("micro", "solid"), ("macro", "dash"))
        ),
        layout=layout(
            axis("threshold on the probability", range=[0, 1]),
            axis("F1 (%)", range=[0, 100]),
            shapes=[rule(chosen)],
            annotations=[note_at(chosen, f"chosen {chosen:.2f}", y=0.1)],
            showlegend=True,
        ),
        height=320,
    )


def _precision_recall(
    report: Mapping[str, Any], curve: Mapping[str, Sequence[float]]
) -> tuple[Figure, ...]:
    """Along the thresholds of the sweep; nothing where the report has neither."""
    if not (curve.get("micro_precision") and curve.get("micro_recall")):
        return ()
    grid = curve["threshold"]
    near = min(range(len(grid)), key=lambda index: abs(grid[index] - report["threshold"]))
    precision, recall = curve["micro_precision"], curve["micro_recall"]
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [percent(value) for value in recall],
        "y": [percent(value) for value in precision],
        "line": {"color": "@micro", "width": 2.5},
        "customdata": [[value] for value in grid],
        "hovertemplate": "recall %{x:.1f} %, precision %{y:.1f} %<br>threshold "
        "%{customdata[0]:.2f}<extra></extra>",
    }
    mark = {
        **{"type": "scatter", "mode": "markers", "hoverinfo": "skip"},
        **{"x": [percent(recall[near])], "y": [percent(precision[near])]},
        "marker": {"color": "@best", "size": 12, "symbol": "star"},
    }
    figure = Figure(
        name="precision-recall",
        title="Precision against recall, test",
        caption=f"At the chosen threshold {report['threshold']:.2f} (star) precision is "
        f"{100 * precision[near]:.1f} % and recall {100 * recall[near]:.1f} %, over all pairs of "
        "document and label.",
        traces=(line, mark),
        layout=layout(
            axis("recall (%)", range=[0, 102]),
            axis("precision (%)", range=[0, 102]),
        ),
        height=320,
    )
    return (figure,)
