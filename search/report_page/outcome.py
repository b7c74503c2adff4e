"""The outcome, before everything else: big numbers, the scores, the chosen settings."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from search.by_loss import paper_trials
from search.published import ENCODER, PublishedRow, published_row
from search.report_page.cautions import cautions
from search.report_page.cost import saved_by_asha
from search.report_page.figures import share
from search.report_page.intervals import interval_words
from search.report_page.parts import Cautions, Number, Numbers, Part, Place, Section, Table, Text
from search.report_page.ranges import (
    dimensions,
    loss_of_best,
    position,
    range_words,
    sampled_names,
    shown_name,
)
from search.results import SearchRecord, TrialRecord
from search.tables import cut_short, score_notes, start_words
from search.words import duration, in_percent, value
from trainable.datasets.records import GROUPS
from trainable.objectives import objective_words

_NONE: Final = "-"
_NOTED: Final = ("these scores", "test by labels", "over the ", "published")
"""Of the notes that a terminal has; the page says the others elsewhere."""


def outcome_section(record: SearchRecord, summary: Mapping[str, Any]) -> Section:
    """What came out, and what is to be said against it."""
    parts: list[Part] = [
        Text(text=sentence(record, summary)),
        Numbers(items=_numbers(record, summary)),
    ]
    found = cautions(record, summary)
    if record.trials:
        parts.append(Cautions(items=found))
    if record.best is not None:
        parts += [_scores(record, summary), _settings(record)]
    return Section(name="outcome", title="Outcome", parts=tuple(parts))


def sentence(record: SearchRecord, summary: Mapping[str, Any]) -> str:
    """The outcome in words."""
    best, gain = record.best, summary["gain_over_paper_values"]
    if best is None:
        state = "yet" if record.status == "running" else "in this search"
        return f"No trial has finished an epoch {state}."
    judged = objective_words(record.spec.config.objective)
    seed = "" if best.seed is None else f" with seed {best.seed}"
    said = (
        f"Trial {best.number} is the best of {len(record.trials)}: validation {judged} "
        f"{100 * (best.best_objective or 0.0):.2f} %{seed} at epoch {best.best_epoch}, threshold "
        f"{best.best_threshold:.2f}"
    )
    if record.paper is not None and record.paper.number == best.number:
        return f"{said}. These are the {start_words(record)}: nothing better was found."
    if gain:
        said += (
            f"; that is {100 * gain['micro_f1']:+.2f} points of micro-F1 and "
            f"{100 * gain['macro_f1']:+.2f} of macro-F1 against the {start_words(record)}"
        )
    for loss, trial in paper_trials(record).items():
        if trial.number == best.number:
            said += f". Its settings are the {start_words(record, loss)}"
    return f"{said}."


def _numbers(record: SearchRecord, summary: Mapping[str, Any]) -> tuple[Number, ...]:
    best, test = record.best, summary["test"]
    judged = objective_words(record.spec.config.objective, short=True)
    items = []
    if best is not None:
        items.append(_objective(best, summary, f"validation {judged}"))
        items += _gain(record, summary)
    if test is not None:
        for score, words in (("micro_f1", "micro-F1"), ("macro_f1", "macro-F1")):
            interval = interval_words(record.test_report, score)
            detail = interval or f"{test['num_docs']:,} documents, opened once"
            items.append(
                Number(label=f"test {words}", value=f"{100 * test[score]:.2f} %", detail=detail)
            )
    elif best is not None:
        items.append(Number(label="test micro-F1", value="sealed", detail="scored at the end"))
    ended = sum(trial.ended is not None for trial in record.trials)
    saved, planned = saved_by_asha(record)
    items.append(
        Number(
            label="trials",
            value=f"{ended} of {record.spec.trials}",
            detail=f"{share(saved / planned)} of the epochs saved" if saved else "",
        )
    )
    items.append(
        Number(
            label="took",
            value=duration(record.wall_s),
            detail=f"{record.epochs_spent:,} epochs",
        )
    )
    return tuple(items)


def _objective(best: TrialRecord, summary: Mapping[str, Any], label: str) -> Number:
    """Of the best trial; of a confirmed one the mean over its seeds."""
    score = 100 * (best.best_objective or 0.0)
    confirmed = summary["confirmation"]
    if best.seed is None or confirmed is None:
        detail = f"trial {best.number}, epoch {best.best_epoch}"
        return Number(label=label, value=f"{score:.2f} %", detail=detail)
    row = next(row for row in confirmed["candidates"] if row["trial"] == best.number)
    detail = f"mean of {row['n']} seeds, sd {100 * row['sd']:.2f}" if row["sd"] else ""
    return Number(
        label=label,
        value=f"{100 * row['mean']:.2f} %",
        detail=f"{detail}; the exported model: {score:.2f}",
    )


def _gain(record: SearchRecord, summary: Mapping[str, Any]) -> list[Number]:
    gain = summary["gain_over_paper_values"]
    if not gain:
        return []
    confirmed = summary["confirmation"]
    # the comparison over the seeds is of the objective, whichever that is
    is_micro = record.spec.config.objective == "micro_f1"
    compared = confirmed["against_paper_values"] if confirmed and is_micro else None
    detail = f"macro {100 * gain['macro_f1']:+.2f}, on validation"
    if cut := cut_short(record):
        detail = f"{detail}; {cut}"
    if compared:
        low, high = 100 * compared["low"], 100 * compared["high"]
        detail = (
            f"{share(compared['level'])} interval {low:+.2f} to {high:+.2f}, {compared['n']} seeds"
        )
    label = f"micro-F1 over the {start_words(record)}"
    return [Number(label=label, value=f"{100 * gain['micro_f1']:+.2f}", detail=detail)]


def _scores(record: SearchRecord, summary: Mapping[str, Any]) -> Table:
    """Micro and macro of all labels and of each group, a row a model and split."""
    best, paper, test = summary["best"], summary["paper_values"], summary["test"]
    rows: list[tuple[str, ...]] = []
    strong = frozenset[int]()
    if paper:
        rows.append((f"{start_words(record)}, validation", *_cells(paper["validation"])))
    if best:
        label = f"best (trial {best['trial']}), validation"
        rows.append((label, *_cells(summary["validation"])))
    if test:
        strong = frozenset({len(rows)})
        rows.append((f"best (trial {best['trial']}), test", *_cells(test)))
    rows += [(f"{row['kind']}, test", *_cells(row["test"])) for row in summary["baselines"]]
    loss = loss_of_best(record)
    published = published_row(record.spec.config.dataset, loss)
    if published:
        label = f"published: {loss}, {ENCODER}, test"
        rows.append((label, *_published(published)))
    groups = tuple(f"{group} {score}" for group in ("all", *GROUPS) for score in ("micro", "macro"))
    return Table(
        title="F1 in per cent",
        columns=("", *groups),
        rows=tuple(rows),
        strong=strong,
        notes=tuple(
            f"{note[0].upper()}{note[1:]}."
            for note in score_notes(record, summary)
            if note.startswith(_NOTED)
        ),
    )


def _cells(scores: Mapping[str, Any]) -> list[str]:
    parts = (scores, *(scores.get(group) or {} for group in GROUPS))
    return [in_percent(part.get(score)) for part in parts for score in ("micro_f1", "macro_f1")]


def _published(row: PublishedRow) -> list[str]:
    pairs: Sequence[tuple[float, float]] = (row.total, row.head, row.medium, row.tail)
    return [f"{score:.2f}" for pair in pairs for score in pair]


def _settings(record: SearchRecord) -> Table:
    """The chosen value of each setting beside the one the search began with, and its range."""
    best, space = record.best, dimensions(record)
    assert best is not None
    start = record.paper.params if record.paper is not None else {}
    rows: list[tuple[str | Place, ...]] = []
    for name in sampled_names(best.params, space):
        dimension = space.get(name)
        at = None if dimension is None else position(dimension, best.params[name])
        other = None if dimension is None else position(dimension, start.get(name))
        rows.append(
            (
                shown_name(name),
                "" if at is None else Place(at=at, other=other),
                range_words(dimension) if dimension is not None else "",
                value(best.params[name]),
                value(start[name]) if name in start else _NONE,
            )
        )
    return Table(
        title=f"Settings of trial {best.number}",
        columns=("setting", "in its range", "range", "best", start_words(record).rstrip("s")),
        rows=tuple(rows),
        texts=frozenset({0, 1, 2}),
        notes=(
            "The dot is the best value in its range, the tick the one that the search began with.",
        ),
    )
