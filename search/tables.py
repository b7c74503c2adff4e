"""What a search looks like on a terminal: pure functions from records to rich tables.

Scores are per cent, `micro/macro` in one cell, as in the published table.
"""

import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

from search.differences import Difference
from search.pareto import pareto_front, scores_at_best
from search.published import ENCODER, SOURCE, PublishedRow, published_for, unlike_paper, why_unlike
from search.results import OPEN_STATUSES, SearchRecord, TrialRecord
from search.words import duration, value
from spaces import AUTO, SPACE_COLUMNS, Space, space_rows
from trainable.config import TrialConfig
from trainable.datasets.records import GROUPS, SPLITS, TextDataset
from trainable.objectives import objective_words

TOP_TRIALS: Final = 5
_MOST_CHANGES: Final = 3
_NONE: Final = "-"
_SHIFT: Final = "  "
_RANGE_WIDTH: Final = 26
"""Of a cell with many choices."""
_NAMED: Final = 8
"""Trials that a note names."""


def differences_table(rows: Sequence[Difference]) -> Table:
    """What is not as it was when the search began, or was last resumed."""
    table = _table("not as it was")
    table.add_column("what", overflow="fold")
    for name in ("then", "now"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(Text(row.what), Text(row.then), Text(row.now))
    return table


def data_line(dataset: TextDataset) -> str:
    """Documents and labels of a dataset, on one line."""
    sizes = " / ".join(f"{len(dataset.split(name)):,}" for name in SPLITS)
    groups = ", ".join(f"{dataset.groups.count(group)} {group}" for group in GROUPS)
    return f"{sizes} documents (train / val / test), {len(dataset.label_names):,} labels ({groups})"


def space_table(space: Space) -> Table:
    """What is searched: range over scale, setting over role, and the reason beside them."""
    table = _table(f"space of loss {space.loss}")
    table.show_lines = True
    for name in ("setting", "range", "paper"):
        table.add_column(name, no_wrap=True)
    table.add_column("reason", ratio=1)
    for row in space_rows(space):
        cells = dict(zip(SPACE_COLUMNS, row, strict=True))
        table.add_row(
            Text.assemble(cells["setting"], "\n", (cells["role"], "dim")),
            Text.assemble(fill(cells["range"], _RANGE_WIDTH), "\n", (cells["scale"], "dim")),
            cells["paper"],
            Text.assemble(cells["reason"], (_of_losses(cells["losses"]), "dim")),
        )
    return table


def _of_losses(losses: str) -> str:
    return f"\nof {losses}" if losses else ""


def scores_table(record: SearchRecord, summary: Mapping[str, Any]) -> Table:
    """Ours on validation and test, the paper's values, and the published row."""
    table = _table("micro-F1/macro-F1, per cent")
    table.add_column("")  # where room is short its words are wrapped, no number is cut
    for name in ("total", *GROUPS):
        table.add_column(name, justify="right", no_wrap=True)
    best, paper = summary["best"], summary["paper_values"]
    if paper:
        table.add_row(f"{start_words(record)}, val", *_cells(paper["validation"]))
    if best:
        table.add_row(f"best (trial {best['trial']}), val", *_cells(summary["validation"]))
    if best and summary["test"]:
        label = f"best (trial {best['trial']}), test"
        table.add_row(label, *_cells(summary["test"]), style="bold")
        _add_intervals(table, summary["test"].get("intervals"))
    for baseline in summary["baselines"]:
        table.add_row(f"{baseline['kind']}, test", *_cells(baseline["test"]))
    loss, published = published_for(record)
    if published:
        label = f"published {loss}, test"
        table.add_row(label, *_published_cells(published), style="dim")
    return table


def _add_intervals(table: Table, intervals: Mapping[str, Any] | None) -> None:
    """Two rows with the ends; a report of an earlier version has none."""
    for place, words in enumerate((f"{_SHIFT}95 % from", f"{_SHIFT}to")):
        if intervals:
            blocks = [intervals.get(row, {}) for row in ("total", *GROUPS)]
            ends = [{score: pair[place] for score, pair in block.items()} for block in blocks]
            table.add_row(words, *map(_pair, ends), style="dim")


def score_notes(record: SearchRecord, summary: Mapping[str, Any]) -> list[str]:
    """Lines under the scores: the two kinds of documents, the gain, what makes rows unlike."""
    notes = []
    if _is_confirmed(summary):
        notes.append(f"these scores are of the models with seed {summary['best']['seed']}")
    test = summary["test"]
    if test:
        parts = [
            f"{kind.replace('_', '-')} {_pair(test[kind])} ({test[kind]['num_docs']:,} documents)"
            for kind in ("single_label", "multi_label")
            if test.get(kind)
        ]
        notes.append(f"test by labels per document: {', '.join(parts)}")
    if summary["test_evaluations"] > 1:
        notes.append(f"the test set was opened {summary['test_evaluations']} times in this search")
    notes += [_over(baseline) for baseline in summary["baselines"] if baseline["difference"]]
    notes += [_change_note(change) for change in summary["accepted_changes"]]
    gain = summary["gain_over_paper_values"]
    if gain:
        micro, macro = (_signed(gain[score]) for score in ("micro_f1", "macro_f1"))
        seeds = summary["confirmation"]["compared"] if _is_confirmed(summary) else ()
        over = f" (means over {len(seeds)} seeds)" if seeds else ""
        notes.append(
            f"gain over the {start_words(record)} on validation: micro {micro}, macro {macro}{over}"
            + (f"; {cut}, so part of it is longer training" if (cut := cut_short(record)) else "")
        )
    if summary["rising_at_stop"]:
        notes.append(_rising(summary))
    config = record.spec.longest
    if published_for(record)[1]:
        notes.append(f"published: {SOURCE}, {ENCODER} on all documents{_unlike(config)}")
    return notes


def trials_table(record: SearchRecord, limit: int = TOP_TRIALS) -> Table:
    """The best trials, best first."""
    ranked = sorted(record.trials, key=lambda t: (-(t.best_objective or 0.0), t.number))[:limit]
    table = _table(f"best {len(ranked)} trials")
    for column in ("trial", "val", "epoch", "ended"):
        table.add_column(column, justify="left" if column == "ended" else "right")
    table.add_column("sampled")
    for trial in ranked:
        table.add_row(*_trial_cells(trial), _sampled(trial))
    return table


def pareto_table(record: SearchRecord) -> Table | None:
    """The front of two scores, with what was sampled; None where one objective is searched for."""
    names = record.spec.pareto_scores
    if not names:
        return None
    table = _table("Pareto front, validation, per cent")
    for column in ("trial", *map(objective_words, names)):
        table.add_column(column, justify="right")
    table.add_column("sampled")
    for trial in pareto_front(record):
        scores = [_percent(score) for score in scores_at_best(trial, names)]
        table.add_row(str(trial.number), *scores, _sampled(trial))
    return table


def counts_line(summary: Mapping[str, Any]) -> str:
    """How the trials ended and what it cost, on one line."""
    counts = {name: count for name, count in summary["trials"].items() if name != "total"}
    ended = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    confirmed = summary["confirmation"]
    runs = f"{confirmed['epochs']} more to confirm the best, " if confirmed else ""
    return (
        f"{summary['trials']['total']} trials ({ended or 'none began'}), "
        f"{summary['epochs']} epochs, {runs}{duration(summary['wall_s'])}"
    )


def _over(baseline: Mapping[str, Any]) -> str:
    """The winner minus a baseline on the same test documents."""
    total = baseline["difference"]["total"]
    micro, macro = (
        f"{_signed(one['difference'])} ({_signed(one['low'])} to {_signed(one['high'])})"
        for one in (total["micro_f1"], total["macro_f1"])
    )
    return f"over the {baseline['kind']} on test (95 %): micro {micro}, macro {macro}"


def _rising(summary: Mapping[str, Any]) -> str:
    """Whom a longer grace period might have served."""
    rising, close = summary["rising_at_stop"], summary["catching_up_at_stop"]
    said = (
        f"still rising when ASHA stopped them: {len(rising)} of "
        f"{summary['trials'].get('stopped', 0)} stopped trials"
    )
    if not close:
        return f"{said}; none was catching up with the best"
    named = ", ".join(map(str, close[:_NAMED]))
    more = f" and {len(close) - _NAMED} more" if len(close) > _NAMED else ""
    return f"{said}; catching up with the best: {named}{more} (a longer --grace-period would tell)"


def _table(title: str) -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")


def _is_confirmed(summary: Mapping[str, Any]) -> bool:
    return summary["best"] is not None and summary["best"]["seed"] is not None


def _cells(scores: Mapping[str, Any]) -> list[str]:
    return [_pair(scores), *(_pair(scores.get(group, {})) for group in GROUPS)]


def _pair(scores: Mapping[str, Any]) -> str:
    if scores.get("micro_f1") is None:
        return _NONE
    return f"{_percent(scores['micro_f1'])}/{_percent(scores['macro_f1'])}"


def _published_cells(row: PublishedRow) -> list[str]:
    pairs: Sequence[tuple[float, float]] = (row.total, row.head, row.medium, row.tail)
    return [f"{micro:.2f}/{macro:.2f}" for micro, macro in pairs]


def _percent(score: float | None) -> str:
    return _NONE if score is None or not math.isfinite(score) else f"{100 * score:.2f}"


def _signed(gain: float) -> str:
    return f"{100 * gain:+.2f}"


def _trial_cells(trial: TrialRecord) -> tuple[str, str, str, str]:
    return (
        str(trial.number),
        _percent(trial.best_objective),
        str(trial.best_epoch or _NONE),
        trial.status.replace("_", " "),
    )


def _sampled(trial: TrialRecord) -> str:
    return ", ".join(f"{_short(name)} {value(x)}" for name, x in trial.params.items())


def _short(name: str) -> str:
    return {"learning_rate": "lr"}.get(name, name.rstrip("_"))


def start_words(record: SearchRecord, loss: str | None = None) -> str:
    """What trial 0 is; of several losses, what `loss` began with (None: the first, as trial 0)."""
    space = record.spec.space
    of_loss = f" of {loss or space.losses[0]}" if space.loss == AUTO else ""
    if unlike_paper(record.spec):
        return f"starting values{of_loss}"
    kind = "paper's loss values" if record.spec.config.tune == "head" else "paper's values"
    return f"{kind}{of_loss}"


def cut_short(record: SearchRecord) -> str:
    """That trial 0, which a gain is measured against, did not train to its end; else ""."""
    start = record.paper
    if start is None or start.seed is not None or start.status in ("completed", *OPEN_STATUSES):
        return ""  # a confirmation trains it whole
    planned = record.planned_epochs(start)
    ended = start.status.replace("_", " ")
    return f"trial {start.number} {ended} after {len(start.epochs)} of {planned} epochs"


def _change_note(change: Mapping[str, Any]) -> str:
    rows = change["changes"]
    named = [f"{row['what']} {row['then']} -> {row['now']}".rstrip(" ->") for row in rows]
    more = f" and {len(rows) - _MOST_CHANGES} more" if len(rows) > _MOST_CHANGES else ""
    return (
        f"run by more than one version: from attempt {change['attempt']} on "
        f"{', '.join(named[:_MOST_CHANGES])}{more}"
    )


def _unlike(config: TrialConfig) -> str:
    """Why our row cannot be held against the published one, if it cannot."""
    reasons = why_unlike(config)
    return f"; ours has {', '.join(reasons)}: not comparable" if reasons else ""
