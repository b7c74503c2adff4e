"""The baselines of a search's data, as its summary shows them beside its winner."""

from pathlib import Path
from typing import Any

from search.baseline.folder import find_baselines
from search.results import SearchRecord
from trainable.errors import UserError
from trainable.predictions import PREDICTIONS_FILE, Predictions


def summarize_baselines(record: SearchRecord) -> list[dict[str, Any]]:
    """Each baseline of the runs folder that is of the same data.

    Returns:
        `kind`, `folder` (its name), `test` (scores in [0, 1]) and `difference`:
        `trainable.bootstrap.paired_intervals` of the winner minus it, None where either's
        predictions are lacking.
    """
    return [
        {
            "kind": found.kind,
            "folder": found.folder.name,
            "test": {name: value for name, value in found.test.items() if name != "intervals"},
            "difference": _difference(record, found.folder),
        }
        for found in find_baselines(record.folder.parent, record.dataset.get("fingerprint"))
    ]


def _difference(record: SearchRecord, baseline: Path) -> dict[str, Any] | None:
    paths = [folder / PREDICTIONS_FILE for folder in (record.folder, baseline)]
    if record.test_report is None or not all(path.is_file() for path in paths):
        return None
    from trainable.bootstrap import paired_intervals

    try:
        ours, theirs = map(Predictions.load, paths)
        return paired_intervals(ours, theirs)
    except UserError:  # damaged: the scores stand without
        return None
