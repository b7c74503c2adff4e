"""What is kept of a baseline: a folder of the runs folder, found again by the data's fingerprint.

    baseline.json          what it is, its settings, scores on validation and test
    test_report.json       as of a search's winner
    test_predictions.npz   likewise: two models can be compared document by document
    per_label.csv          a line a label

It has neither spec.yaml nor journal: no command takes it for a search.
"""

import csv
import dataclasses
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from search.files import read_json, write_json
from trainable.errors import UserError
from trainable.paths import write_text
from trainable.predictions import PREDICTIONS_FILE

if TYPE_CHECKING:
    from search.baseline.scored import Scored

BASELINE_FILE: Final = "baseline.json"
REPORT_FILE: Final = "test_report.json"
TABLE_FILE: Final = "per_label.csv"
_FORMAT: Final = "longtail-search/baseline"
_VERSION: Final = 1
_LONG: Final = ("per_label", "threshold_curve")


def folder_for(runs_dir: Path, kind: str, dataset: Mapping[str, Any]) -> Path:
    """Where the baseline of these data lies: `baseline-KIND-DATASET`.

    Of two datasets of one name (another split, fewer documents) the second has a part of its
    fingerprint behind it.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", str(dataset["name"]))[:60]
    folder = runs_dir / f"baseline-{kind}-{name}"
    there = _read(folder)
    if there is None or there["dataset"]["fingerprint"] == dataset["fingerprint"]:
        return folder
    return folder.with_name(f"{folder.name}-{str(dataset['fingerprint'])[:8]}")


def write_baseline(
    folder: Path, scored: "Scored", dataset: Mapping[str, Any], versions: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the folder, in place of an earlier run's; returns the content of baseline.json.

    Raises:
        UserError: it cannot be written.
    """
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": scored.kind,
        "dataset": dict(dataset),
        "settings": scored.settings,
        "shift": scored.shift,
        "validation": _short(scored.validation),
        "test": _short(scored.report),
        "seconds": round(scored.seconds, 3),
        "versions": dict(versions),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # while its parts are of two runs it is none
        (folder / BASELINE_FILE).unlink(missing_ok=True)
        write_json(folder / REPORT_FILE, scored.report)
        write_text(folder / TABLE_FILE, _table(scored.report["per_label"]))
        (folder / PREDICTIONS_FILE).unlink(missing_ok=True)
        if scored.predictions is not None:
            scored.predictions.save(folder / PREDICTIONS_FILE)
        write_json(folder / BASELINE_FILE, content)
    except OSError as error:
        raise UserError(
            f"{folder}: the baseline cannot be written ({error.strerror}): free space or choose "
            "another --runs-dir"
        ) from None
    return content


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FoundBaseline:
    """A baseline of a runs folder."""

    folder: Path
    content: Mapping[str, Any]
    """Of baseline.json."""

    @property
    def kind(self) -> str:
        """`svm`."""
        return str(self.content["kind"])

    @property
    def test(self) -> Mapping[str, Any]:
        """The test scores, in the shape of the test report's."""
        found: Mapping[str, Any] = self.content["test"]
        return found


def find_baselines(runs_dir: Path, fingerprint: str | None) -> list[FoundBaseline]:
    """The baselines of the data with this fingerprint, by kind; what is damaged is passed over."""
    found = []
    for path in sorted(runs_dir.glob(f"baseline-*/{BASELINE_FILE}")):
        content = _read(path.parent)
        if content is not None and content["dataset"]["fingerprint"] == fingerprint:
            found.append(FoundBaseline(folder=path.parent, content=content))
    return sorted(found, key=lambda one: one.kind)


def _read(folder: Path) -> dict[str, Any] | None:
    """baseline.json; None where there is none that this program wrote."""
    try:
        content = read_json(folder / BASELINE_FILE)
    except UserError:
        return None
    if content is None or content.get("format") != _FORMAT or content.get("version") != _VERSION:
        return None
    parts = (content.get("dataset"), content.get("test"))
    whole = all(isinstance(part, dict) for part in parts) and "fingerprint" in content["dataset"]
    return content if whole else None


def _short(report: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in _LONG}


def _table(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
