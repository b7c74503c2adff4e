"""A search over several losses: what each reached with the paper's values, and with tuned ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from search.by_loss import losses_ranked
from search.report_page.figures import axis, layout, percent, plain
from search.report_page.parts import Figure, Section, Table, Text
from search.results import SearchRecord
from search.words import in_percent
from trainable.objectives import objective_words


def losses_section(record: SearchRecord, summary: Mapping[str, Any]) -> Section | None:
    """A picture and a table, best loss first; None where one loss was searched."""
    if "by_loss" not in summary:
        return None
    rows = losses_ranked(summary)
    judged = objective_words(record.spec.config.objective)
    scored = [(loss, row) for loss, row in rows if row["objective"] is not None]
    seen = _figure(scored, judged) if scored else Text(text="No trial has finished an epoch yet.")
    return Section(name="losses", title="Losses", parts=(seen, _table(rows, summary, judged)))


def _figure(rows: Sequence[tuple[str, Mapping[str, Any]]], judged: str) -> Figure:
    paper = [(loss, row) for loss, row in rows if row["paper_values"] is not None]
    lines = {
        "type": "scatter",
        "mode": "lines",
        "x": [x for _, row in paper for x in (*_ends(row), None)],
        "y": [y for loss, _ in paper for y in (plain(loss), plain(loss), None)],
        "line": {"color": "@muted", "width": 2},
        "hoverinfo": "skip",
    }
    return Figure(
        name="best-by-loss",
        title=f"Validation {judged} by loss",
        caption="Open diamonds: the paper's values of each loss; stars: its best trial. The search "
        "gives promising losses more trials: a loss with few of them may not be at its best, and "
        "trials that ASHA stopped stand with what they had reached by then.",
        traces=(
            lines,
            _marks(paper, "paper_values", "@paper", "diamond-open", "the paper's values"),
            _marks(rows, "objective", "@best", "star", "best trial"),
        ),
        layout=layout(
            axis(f"{judged} (%)"),
            axis("", type="category", categoryorder="array", categoryarray=_upwards(rows)),
            hovermode="closest",
        ),
        height=110 + 32 * len(rows),
    )


def _ends(row: Mapping[str, Any]) -> tuple[float, float]:
    return percent(row["paper_values"]), percent(row["objective"])


def _upwards(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    return [plain(loss) for loss, _ in reversed(rows)]  # Plotly draws upwards


def _marks(
    rows: Sequence[tuple[str, Mapping[str, Any]]], field: str, colour: str, symbol: str, words: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [percent(row[field]) for _, row in rows],
        "y": [plain(loss) for loss, _ in rows],
        "marker": {"color": colour, "symbol": symbol, "size": 11},
        "hovertemplate": f"%{{y}}, {words}: %{{x:.2f}} %<extra></extra>",
    }


def _table(
    rows: Sequence[tuple[str, Mapping[str, Any]]], summary: Mapping[str, Any], judged: str
) -> Table:
    winner = summary["best"]["trial"] if summary["best"] else None
    cells = tuple(
        (
            loss,
            *(f"{row[field]:,}" for field in ("trials", "completed")),
            *(in_percent(row[field]) for field in ("paper_values", "objective")),
            "-" if row["trial"] is None else str(row["trial"]),
        )
        for loss, row in rows
    )
    return Table(
        title=f"Validation {judged} (%)",
        columns=("loss", "trials", "completed", "paper's values", "best", "its trial"),
        rows=cells,
        strong=frozenset(
            place
            for place, (_, row) in enumerate(rows)
            if winner is not None and row["trial"] == winner
        ),
    )
