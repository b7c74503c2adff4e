"""A trained model folder on a split of its data: the report, its intervals, the predictions."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from trainable.best import BestConfig
from trainable.bootstrap import paired_intervals
from trainable.datasets import load_dataset
from trainable.datasets.records import SplitName, TextDataset
from trainable.encoded import labels_alone
from trainable.errors import UsageError
from trainable.evaluation import Evaluation, evaluate, with_intervals
from trainable.inference import Predictor
from trainable.own_thresholds import OwnThresholds, tune_own_thresholds
from trainable.paths import expand
from trainable.predictions import PREDICTIONS_FILE, Predictions

OnProgress = Callable[[str, int, int], None]
"""(split, documents done, all)."""
_PROGRESS_EVERY_S: Final = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatedModel:
    """What a command prints."""

    report: dict[str, Any]
    """`evaluation_report` with `intervals`; with `own_thresholds` where these were asked for."""
    own: OwnThresholds | None
    against: dict[str, Any] | None
    """`paired_intervals`, this model minus the other."""
    same_data: bool
    """Whether these are the data that it was trained on."""


def evaluate_model(
    folder: Path,
    *,
    data_path: Path | None = None,
    split: SplitName = "test",
    own_thresholds: bool = False,
    against: Path | None = None,
    cache_dir: Path | None = None,
    on_progress: OnProgress | None = None,
) -> EvaluatedModel:
    """Score the model in `folder` on a split, at the threshold that was chosen in its search.

    Args:
        folder: of `python -m trainable BEST.YAML --out MODEL`.
        data_path: where the data lie; None: where best.yaml says.
        split: `val` or `test`.
        own_thresholds: also tune one for each label on validation, and report these beside.
        against: another model's folder, or that of a search or baseline, with its
            `test_predictions.npz`: paired intervals of the differences.
        cache_dir: of downloads; None: the user's.
        on_progress: called every ten seconds.

    Raises:
        UsageError: a folder that is no model, data that cannot be read or have other labels, or
            nothing to compare with.
    """
    other = None if against is None else read_other(against, split)
    predictor = Predictor.load(folder)
    best = BestConfig.load(folder / "best.yaml")
    dataset = _load_data(best, predictor, data_path, cache_dir)
    runner = _Runner(predictor, dataset, on_progress)
    own = None
    if own_thresholds:
        own = tune_own_thresholds(
            runner.batches("val"), num_labels=len(dataset.label_names), shared=best.threshold
        )
    found = evaluate(
        runner.batches(split),
        threshold=best.threshold,
        data=labels_alone(dataset),
        split=split,
        documents=dataset.split(split).ids,
        own_thresholds_L=None if own is None else own.values_L,
    )
    return EvaluatedModel(
        report=with_intervals(found),
        own=own,
        against=_compared(found, other),
        same_data=dataset.fingerprint == best.data_fingerprint,
    )


def read_other(path: Path, split: SplitName) -> Predictions:
    """The kept test predictions of another folder.

    Raises:
        UsageError: it has none, or the split is not `test`.
    """
    if split != "test":
        raise UsageError(f"--against compares on test, whose predictions are kept, not on {split}")
    folder = expand(path, "--against")
    if not (folder / PREDICTIONS_FILE).is_file():
        raise UsageError(
            f"--against {path}: holds no {PREDICTIONS_FILE}; give the folder of a search, of "
            "`python -m search baseline` or of `python -m trainable BEST.YAML --out MODEL`"
        )
    return Predictions.load(folder / PREDICTIONS_FILE)


def _compared(found: Evaluation, other: Predictions | None) -> dict[str, Any] | None:
    if other is None or found.predictions is None:
        return None
    return paired_intervals(found.predictions, other)


def _load_data(
    best: BestConfig, predictor: Predictor, data_path: Path | None, cache_dir: Path | None
) -> TextDataset:
    config = best.config
    if data_path is not None:
        config = config.replace(data_path=str(expand(data_path, "--data").absolute()))
    dataset = load_dataset(config, cache_dir=cache_dir)
    if predictor.label_names != dataset.label_names:
        odd = set(predictor.label_names) ^ set(dataset.label_names)
        named = ", ".join(sorted(odd)[:3])
        raise UsageError(
            f"the data in {dataset.source} have other labels than the model ({len(odd)} differ: "
            f"{named}): give the data it was trained on with --data"
        )
    return dataset


class _Runner:
    """The model's probabilities of a split, a chunk at a time."""

    def __init__(
        self, predictor: Predictor, dataset: TextDataset, on_progress: OnProgress | None
    ) -> None:
        self._predictor, self._dataset, self._on_progress = predictor, dataset, on_progress
        self._told = time.monotonic()

    def batches(self, name: SplitName) -> Iterator[tuple[Tensor, Tensor]]:
        split, size = self._dataset.split(name), self._predictor.chunk_docs
        for start in range(0, len(split), size):
            self._tell(name, start, len(split))
            probs_BL = torch.from_numpy(
                self._predictor.probabilities(split.texts[start : start + size])
            )
            targets_BL = torch.zeros(probs_BL.shape, dtype=torch.bool)
            for row, labels in enumerate(split.labels[start : start + size]):
                targets_BL[row, list(labels)] = True
            yield probs_BL, targets_BL

    def _tell(self, name: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self._on_progress is not None and now - self._told >= _PROGRESS_EVERY_S:
            self._on_progress(name, done, total)
            self._told = now
