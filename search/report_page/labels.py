"""Every label on the test set: F1 over its training documents, and a table."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from search.report_page.figures import axis, layout, percent, plain
from search.report_page.parts import Figure, Table
from search.report_page.ranges import log_ticks
from trainable.datasets.records import GROUPS

MOST_LABELS: Final = 2000
"""That are drawn."""
MOST_ROWS: Final = 500


def frequency_figure(labels: Sequence[Mapping[str, Any]]) -> Figure:
    """F1 of each label over its training documents, on a logarithmic scale."""
    drawn = _some(labels)
    never = [row for row in labels if row["support"] and not row["f1"]]
    unseen = sum(not row["support"] for row in labels)
    said = f"{len(never)} of {len(labels)} labels are never found (F1 0)"
    tail = sum(row["group"] == "tail" for row in never)
    said += f", {tail} of them in the tail." if never else "."
    if unseen:
        said += f" {unseen} have no test document."
    said += " The line is the median of a tenth of the labels each."
    if len(drawn) < len(labels):
        said += f" Drawn: {len(drawn):,} of {len(labels):,} labels, evenly spaced by frequency."
    traces = [
        _marks(rows, group, symbol)
        for group, symbol in zip(GROUPS, ("circle", "square", "diamond"), strict=True)
        if (rows := [row for row in drawn if row["group"] == group])
    ]
    most = max(row["train_count"] for row in labels)
    ticks = log_ticks(1, max(10, most))
    words = [f"{tick:,.0f}" for tick in ticks]
    return Figure(
        name="frequency",
        title="Test F1 of each label by its training documents",
        caption=said,
        traces=(*traces, _medians(labels)),
        layout=layout(
            axis("training documents of the label", type="log", tickvals=ticks, ticktext=words),
            axis("F1 (%)", range=[-4, 104]),
            showlegend=True,
            hovermode="closest",
        ),
    )


def _marks(rows: Sequence[Mapping[str, Any]], group: str, symbol: str) -> dict[str, Any]:
    """The labels of one group."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": group,
        "x": [max(1, row["train_count"]) for row in rows],
        "y": [percent(row["f1"]) for row in rows],
        "marker": {"color": f"@{group}", "size": 9, "opacity": 0.75, "symbol": symbol},
        "customdata": [
            [
                plain(row["label"]),
                row["support"],
                *map(percent, (row["precision"], row["recall"])),
            ]
            for row in rows
        ],
        "hovertemplate": "%{customdata[0]}: F1 %{y:.1f} %<br>precision %{customdata[2]:.1f} %, "
        "recall %{customdata[3]:.1f} %<br>%{x} training, %{customdata[1]} test documents"
        "<extra></extra>",
    }


def _some(labels: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    ordered = sorted(labels, key=lambda row: -row["train_count"])
    if len(ordered) <= MOST_LABELS:
        return ordered
    step = len(ordered) / MOST_LABELS
    return [ordered[int(index * step)] for index in range(MOST_LABELS)]


def _medians(labels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ordered = sorted(labels, key=lambda row: row["train_count"])
    size = max(1, len(ordered) // 10)
    tenths = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "median",
        "x": [max(1, statistics.median(row["train_count"] for row in rows)) for rows in tenths],
        "y": [percent(statistics.median(row["f1"] for row in rows)) for rows in tenths],
        "line": {"color": "@ink", "width": 1.5, "dash": "dash"},
        "hoverinfo": "skip",
    }


def label_table(labels: Sequence[Mapping[str, Any]]) -> Table:
    """The most frequent label first; folded, since it is long."""
    ordered = sorted(labels, key=lambda row: (-row["train_count"], str(row["label"])))
    rows = tuple(
        (
            str(row["label"]),
            str(row["group"]),
            f"{row['train_count']:,}",
            f"{row['support']:,}",
            *(f"{100 * row[key]:.1f}" for key in ("precision", "recall", "f1")),
        )
        for row in ordered[:MOST_ROWS]
    )
    more = len(ordered) - len(rows)
    return Table(
        title=f"Every label ({len(ordered):,})",
        columns=("label", "group", "training", "test", "precision %", "recall %", "F1 %"),
        rows=rows,
        texts=frozenset({0, 1}),
        notes=(f"{more:,} rarer labels are left out; `test_report.json` has them.",)
        if more
        else (),
        folded=True,
    )
