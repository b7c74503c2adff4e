"""What the search's own run must be told: the files of the folder other than the journal.

Read again only where a file changed. A file that is absent (a search still at work, or one that
failed) is left out; one that cannot be read raises, and is tried again.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from search.files import read_json, read_yaml
from search.results import DATASET_NAME, TEST_REPORT_NAME, VERSIONS_NAME
from search.spec import SPEC_FORMAT, SPEC_NAME, SPEC_VERSION
from search.tracking.confirm_messages import ConfirmTranslator
from search.tracking.description import describe
from search.tracking.messages import Message, points

_ARTIFACTS: Final = (
    (SPEC_NAME, ""),
    (DATASET_NAME, ""),
    (VERSIONS_NAME, ""),
    (TEST_REPORT_NAME, ""),
    ("summary.json", ""),
    ("trials.csv", ""),
    ("best.yaml", ""),
    ("report.html", ""),
    ("plots/*.png", "plots"),
)
_NOT_PARAMS: Final = frozenset({"name", "config", "space", "runs_dir", "tracking_uri", "address"})
_OF_FILES: Final = frozenset({"text_column", "labels_column", "split_column", "label_separator"})
_NOT_TAGS: Final = frozenset(
    {"executable", "git_commit", "git_changed", "platform", "numpy", "safetensors", "tokenizers"}
    | {"iterative-stratification", "mlflow"}
)
"""Of versions.json, which is an artifact whole: what nobody looks for a run by."""
_DIGEST: Final = 12  # characters; MLflow takes 36, tables show it whole


class FolderFiles:
    """The files of one search folder, each told again when it changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[Path, tuple[int, int]] = {}
        self._reported_ms: int | None = None

    def spec(self) -> dict[str, Any]:
        """The resolved spec as plain values.

        Raises:
            UsageError: it cannot be read.
        """
        return read_yaml(self.folder / SPEC_NAME, SPEC_FORMAT, SPEC_VERSION)

    def dataset(self) -> dict[str, Any]:
        """The description of the dataset; empty where there is none."""
        return read_json(self.folder / DATASET_NAME) or {}

    def experiment(self) -> str:
        """The name of the MLflow experiment: that of the dataset."""
        return str(self.dataset().get("name") or self.spec()["config"]["dataset"])

    def changes(self, translator: ConfirmTranslator) -> list[Message]:
        """Messages about the files that are new or changed since the last call."""
        changed = {
            path: artifact_folder
            for pattern, artifact_folder in _ARTIFACTS
            for path in sorted(self.folder.glob(pattern))
            if self._is_new(path)
        }
        names = {path.name for path in changed}
        told = [Message(trial=None, files=changed)] if changed else []
        if SPEC_NAME in names:
            told.append(Message(trial=None, params=spec_params(self.spec())))
        if VERSIONS_NAME in names:
            told.append(Message(trial=None, tags=version_tags(self._read(VERSIONS_NAME))))
        if DATASET_NAME in names:
            told.append(Message(trial=None, dataset=dataset_input(self.dataset())))
        # by the event, not the file's time: a replay must give the same points
        tested_ms = translator.tested_ms
        if tested_ms is not None and tested_ms != self._reported_ms:
            told.append(report_message(self._read(TEST_REPORT_NAME), tested_ms))
            self._reported_ms = tested_ms
        self._seen.update({path: _stamp(path) for path in changed})
        return told

    def description(self, translator: ConfirmTranslator) -> Message:
        """The text at the top of the search's page."""
        report = self._read(TEST_REPORT_NAME)
        text = describe(self.folder.name, self.spec(), self.dataset(), translator, report)
        return Message(trial=None, tags={"mlflow.note.content": text})

    def _is_new(self, path: Path) -> bool:
        return path.is_file() and self._seen.get(path) != _stamp(path)

    def _read(self, name: str) -> dict[str, Any]:
        return read_json(self.folder / name) or {}


def sampled(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The dimensions of the space by the name of their setting."""
    return {
        row["name"]: {key: value for key, value in row.items() if key != "name"}
        for row in spec["space"]["dimensions"]
    }


def spec_params(spec: Mapping[str, Any]) -> dict[str, str]:
    """Fixed settings by their own names, what is sampled as `space/NAME`, the rest as `search/`."""
    space = sampled(spec)
    config = spec["config"]
    left_out = {"data_path", *space, *(() if config["dataset"] == "file" else _OF_FILES)}
    fixed = {k: v for k, v in config.items() if k not in left_out}
    return {
        "loss": str(spec["space"]["loss"]),  # `auto`, where trials differ in it
        **{name: str(value) for name, value in fixed.items()},
        **{f"space/{name}": json.dumps(value) for name, value in space.items()},
        **{
            f"search/{name}": str(value)
            for name, value in spec.items()
            if name not in _NOT_PARAMS and not (value is None or value is False or value == [])
        },
    }


def version_tags(versions: Mapping[str, Any]) -> dict[str, str]:
    """Of the first attempt: versions and machine that tell runs apart, the git commit."""
    tags = {}
    for key, value in _flat(versions).items():
        name = key.rpartition("/")[2]
        if value is None or name in _NOT_TAGS or key.startswith("numbers/"):
            continue
        is_version = name == "python" or key.startswith("packages/")
        tags[f"version.{name}" if is_version else f"machine.{name}"] = str(value)
    commit = versions.get("git_commit")
    return {**tags, **({"mlflow.source.git.commit": str(commit)} if commit else {})}


def dataset_input(dataset: Mapping[str, Any]) -> dict[str, str]:
    """What MLflow shows as the dataset of the run."""
    numbers = {k: v for k, v in _flat(dataset).items() if isinstance(v, int | float)}
    return {
        "name": str(dataset.get("name", "unknown")),
        "digest": str(dataset.get("fingerprint", ""))[:_DIGEST] or "unknown",
        "source": json.dumps({"uri": str(dataset.get("source", ""))}),
        "profile": json.dumps(numbers),
    }


def report_message(report: Mapping[str, Any], time_ms: int) -> Message:
    """The sealed test evaluation: metrics `test/...` and the table of labels."""
    of_test = {key: value for key, value in report.items() if key != "validation"}
    values = {f"test/{key}": value for key, value in _flat(of_test).items() if _is_score(key)}
    table = {"per_label.csv": per_label_csv(report["per_label"])} if "per_label" in report else {}
    return Message(trial=None, points=points(values, time_ms=time_ms, step=0), texts=table)


def _is_score(key: str) -> bool:
    return any(word in key for word in ("_f1", "_precision", "_recall", "_roc_auc"))


def per_label_csv(rows: list[dict[str, Any]]) -> str:
    """One line a label; MLflow shows a CSV as a table."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as `outer/inner`; lists are left out."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}/")
        elif not isinstance(value, list | tuple):
            flat[f"{prefix}{key}"] = value
    return flat


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
