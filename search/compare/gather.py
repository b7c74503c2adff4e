"""Searches that there are, as parts of a comparison: are they over, and do their scores compare?"""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.baseline.folder import FoundBaseline, find_baselines
from search.compare.searches import check_idle, is_done
from search.preflight import find_search
from search.results import SearchRecord, load_search
from search.summary import summarize
from trainable.errors import UsageError, UserError
from trainable.predictions import PREDICTIONS_FILE, Predictions


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One search."""

    label: str
    """Its loss; its name, where two of a comparison have the same loss."""
    loss: str
    """Of its winner."""
    record: SearchRecord
    summary: dict[str, Any]
    predictions: Predictions | None
    """Of its winner on test; None: an older program kept none, or they are damaged."""


def gather(names: Sequence[str], runs_dir: Path) -> tuple[Entry, ...]:
    """The searches of these names, in order.

    Raises:
        UsageError: one is not there, runs, or has no test scores; or two are of other data.
    """
    records = []
    for name in names:
        folder = find_search(name, runs_dir)
        check_idle(folder)
        record = load_search(folder)
        if not is_done(record):
            raise UsageError(
                f"search '{name}' has no test scores yet ({record.status}): finish it with "
                f"`python -m search resume {name}`, or leave it out"
            )
        records.append(record)
    check_same_data(records)
    counts = collections.Counter(record.spec.space.loss for record in records)
    return tuple(_entry(record, alone=counts[record.spec.space.loss] == 1) for record in records)


def check_same_data(records: Sequence[SearchRecord]) -> None:
    """Raise UsageError unless all have the same documents, labels and split.

    The fingerprint covers all three.
    """
    first = records[0]
    for record in records[1:]:
        if record.dataset.get("fingerprint") != first.dataset.get("fingerprint"):
            raise UsageError(
                f"searches '{first.spec.name}' and '{record.spec.name}' are of other data, or of "
                "another split: their scores do not compare; leave one of them out"
            )


def svm_of(entries: Sequence[Entry]) -> tuple[FoundBaseline, Predictions | None] | None:
    """The SVM on the same data, if it was trained."""
    record = entries[0].record
    for found in find_baselines(record.folder.parent, record.dataset.get("fingerprint")):
        if found.kind == "svm":
            return found, _predictions(found.folder)
    return None


def _entry(record: SearchRecord, *, alone: bool) -> Entry:
    best = record.best
    assert best is not None, "a search with test scores has a best trial"
    return Entry(
        label=record.spec.space.loss if alone else record.spec.name,
        loss=record.spec.trial_config(best.params).loss,
        record=record,
        summary=summarize(record),
        predictions=_predictions(record.folder),
    )


def _predictions(folder: Path) -> Predictions | None:
    try:
        return Predictions.load(folder / PREDICTIONS_FILE)
    except UserError:
        return None
