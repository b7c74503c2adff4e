"""What is to be told of a model folder: read from the folder alone, which may have travelled."""

import dataclasses
import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

from search.files import read_json
from trainable.best import BestConfig
from trainable.paths import expand
from trainable.saved_model import SavedModel

REQUIRED: Final = (
    *("mlflow", "numpy", "pandas", "PyYAML", "safetensors", "tokenizers", "torch", "transformers"),
)
"""What a registered model needs to answer; nothing of Ray or Optuna."""

_DIGEST: Final = 12  # characters; MLflow takes 36 of a dataset, tables show it whole


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """A model folder, described."""

    folder: Path
    digest: str
    """SHA-256 of all files: the same model is not registered twice."""
    best: BestConfig
    report: dict[str, Any]
    """`evaluation_report` of its test documents; empty where the folder has none."""
    dataset: str
    """Name of the dataset; it names the experiment too."""
    label_names: tuple[str, ...]
    thresholds: tuple[float, ...]
    """[L]"""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a folder of `python -m trainable BEST.YAML --out MODEL`, weights and all.

        Raises:
            UsageError: it cannot be used (see `SavedModel.load`).
        """
        saved = SavedModel.load(path)
        folder = expand(path, "MODEL").absolute()
        best = BestConfig.load(folder / "best.yaml")
        config = read_json(folder / "config.json") or {}
        return cls(
            folder=folder,
            digest=folder_digest(folder),
            best=best,
            report=read_json(folder / "test_report.json") or {},
            dataset=str(config.get("dataset") or best.config.dataset),
            label_names=saved.label_names,
            thresholds=saved.thresholds,
        )

    @property
    def default_name(self) -> str:
        """What it is registered as, unless told otherwise."""
        return f"longtail-{self.dataset}-{self.best.config.loss}"

    @property
    def search(self) -> str | None:
        """The name of the search that chose its configuration."""
        name = self.best.search.get("name")
        return None if name is None else str(name)

    @property
    def threshold(self) -> float | dict[str, float]:
        """One for all labels, or each label's own."""
        if len(set(self.thresholds)) == 1:
            return self.thresholds[0]
        return dict(zip(self.label_names, self.thresholds, strict=True))

    @property
    def data_digest(self) -> str:
        """The beginning of the data's fingerprint, as MLflow shows it of the search's dataset."""
        return self.best.data_fingerprint[:_DIGEST]

    @property
    def scores(self) -> dict[str, float]:
        """The test scores as metrics: `test/micro_f1`, `test/tail/macro_f1`, ..."""
        found: dict[str, float] = {}
        for key, value in self.report.items():
            inner = value.items() if isinstance(value, dict) else [("", value)]
            for name, score in inner:
                metric = f"test/{key}/{name}".rstrip("/")
                if "_f1" in metric and isinstance(score, float):
                    found[metric] = score
        return found


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of all files in `folder`, what Python caches aside."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder)}:{content}\n".encode())
    return digest.hexdigest()


def requirements() -> list[str]:
    """`REQUIRED`, each pinned to the version at hand; torch without its build (`+cpu`)."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in REQUIRED]
