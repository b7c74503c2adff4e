"""Train an exported configuration again, without Ray, and score it on the test documents.

The same session, seed, schedule and number of threads as in the search: on the same machine the
validation score of the trial comes out again. Training stops after the trial's best epoch.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from torch import nn

from trainable.best import BestConfig
from trainable.config import OBJECTIVE, TrialConfig
from trainable.datasets import load_dataset
from trainable.datasets.records import TextDataset
from trainable.device import memory_errors, resolve_precision
from trainable.divergence import DivergedError
from trainable.encoded import EncodedDataset, EncodedSplit
from trainable.errors import UsageError, UserError, unknown_name
from trainable.evaluation import Evaluation, evaluate, with_intervals
from trainable.features import OnProgress, with_features
from trainable.loop import TrainingSession
from trainable.paths import expand
from trainable.predictions import Predictions
from trainable.tokenization import encode_dataset

OnEpoch = Callable[[Mapping[str, float]], None]
TrainOn = Literal["train", "train+val"]
TRAIN_ON: Final[tuple[TrainOn, ...]] = get_args(TrainOn)

OBJECTIVE_TOLERANCE: Final = 1e-3
"""How far the objective may lie from the trial's on the same machine."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Retrained:
    """A trained model and what is to be said about it."""

    best: BestConfig
    train_on: TrainOn
    dataset: TextDataset
    model: nn.Module
    """`BertForSequenceClassification`, or `head_layers.Head` (`tune=head`)."""
    num_train_docs: int
    validation: Mapping[str, float] | None
    """Metrics after the last epoch; None for train+val, which leaves nothing to validate on."""
    report: Mapping[str, Any]
    """`evaluation_report` of the test documents at the exported threshold, with `intervals`."""
    predictions: Predictions | None
    """Of the test documents; None where there were too many to keep."""
    device: str
    precision: str
    """Of the encoder; a head on its features always trains in float32."""
    wall_s: float

    @property
    def repeats_trial(self) -> bool | None:
        """Whether the objective is the trial's; None for train+val."""
        if self.validation is None:
            return None
        return abs(self.validation[OBJECTIVE] - self.best.objective) <= OBJECTIVE_TOLERANCE


def retrain(
    best: BestConfig,
    *,
    train_on: TrainOn = "train",
    data_path: Path | None = None,
    cache_dir: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_progress: OnProgress | None = None,
) -> Retrained:
    """Train `best.config` for `best.best_epoch` epochs and evaluate it on test.

    Args:
        best: what the search exported.
        train_on: `train`, as in the search, or `train+val`, when nothing is left to choose: the
            threshold then stays the exported one.
        data_path: where the data lie now; None: where the configuration says.
        cache_dir: of downloads, tokens and features; None: the user's cache folder.
        on_epoch: called with the metrics of each epoch; those of val mean nothing for train+val.
        on_progress: of the features that `tune=head` needs, as for `with_features`.

    Raises:
        UsageError: an unknown `train_on`, data or encoder that cannot be read, or data that differ
            from those of the search.
        UserError: the training diverged, or memory ran out.
    """
    if train_on not in TRAIN_ON:
        raise unknown_name("choice of --train-on", train_on, TRAIN_ON)
    started = time.perf_counter()
    config = best.config
    if data_path is not None:
        config = config.replace(data_path=str(expand(data_path, "--data").absolute()))
    with memory_errors("close other programs, or use a larger machine or GPU"):
        dataset, data = _load(config, best, cache_dir, on_progress)
        if train_on == "train+val":
            data = merge_train_and_val(data)
        session = TrainingSession(config, data)
        metrics, found = _train(session, best, on_epoch)
    return Retrained(
        best=best,
        train_on=train_on,
        dataset=dataset,
        model=session.model,
        num_train_docs=len(data.train),
        validation=metrics if train_on == "train" else None,
        report=with_intervals(found),
        predictions=found.predictions,
        device=session.device.type,
        precision=resolve_precision(config.precision, session.device),
        wall_s=time.perf_counter() - started,
    )


def merge_train_and_val(data: EncodedDataset) -> EncodedDataset:
    """The dataset with its validation documents behind the training documents, and none in val."""
    nothing: dict[str, Any] = {}
    both: dict[str, Any] = {}
    for name, train in data.train.arrays.items():
        val = data.val.arrays[name]
        if name.endswith("_offsets"):
            both[name] = np.concatenate([train, val[1:] + train[-1]])
            nothing[name] = val[:1]
        else:
            both[name] = np.concatenate([train, val])
            nothing[name] = val[:0]
    return dataclasses.replace(
        data,
        fingerprint=f"{data.fingerprint}-train+val",
        train=EncodedSplit(**both),
        val=EncodedSplit(**nothing),
    )


def _load(
    config: TrialConfig,
    best: BestConfig,
    cache_dir: Path | None,
    on_progress: OnProgress | None,
) -> tuple[TextDataset, EncodedDataset]:
    dataset = load_dataset(config, cache_dir=cache_dir)
    if dataset.fingerprint != best.data_fingerprint:
        raise UsageError(
            f"the data in {dataset.source} are not those of the search: fingerprint "
            f"{dataset.fingerprint[:12]}, expected {best.data_fingerprint[:12]}; "
            "give the original data with --data, or search again"
        )
    data = encode_dataset(
        dataset, encoder=config.encoder, max_length=config.max_length, cache_dir=cache_dir
    )
    if config.tune == "head":
        data = with_features(data, config, cache_dir=cache_dir, on_progress=on_progress)
    return dataset, data


def _train(
    session: TrainingSession, best: BestConfig, on_epoch: OnEpoch | None
) -> tuple[Mapping[str, float], Evaluation]:
    """Metrics of the last epoch, and what was found on the test documents."""
    metrics: Mapping[str, float] = {}
    try:
        for _ in range(best.best_epoch):
            metrics = session.run_epoch()
            if on_epoch is not None:
                on_epoch(metrics)
        found = evaluate(
            session.probabilities("test"),
            threshold=best.threshold,
            data=session.data,
            documents=session.data.test_ids,
        )
    except DivergedError as error:
        raise UserError(f"the training diverged: {error}; export another trial") from None
    return metrics, found
