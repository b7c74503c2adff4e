"""A baseline's scores: the same report, predictions and intervals as a search's winner has."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import torch
from scipy.special import expit
from torch import Tensor

from search.baseline.svm import SETTINGS, Floats, Svm, as_probabilities, fit
from trainable.datasets.records import TextDataset, TextSplit
from trainable.encoded import labels_alone
from trainable.evaluation import evaluate, evaluation_report, with_intervals
from trainable.predictions import LabelSets, Predictions


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """What there is to say about a baseline."""

    kind: str
    """`svm`."""
    settings: dict[str, Any]
    shift: float
    validation: dict[str, Any]
    """`evaluation_report` of the validation documents at the shift."""
    report: dict[str, Any]
    """Of the test documents, with `intervals`. Its `threshold` is the shift on the scale of
    `search.baseline.svm.as_probabilities`; its `..._at_0.5` are the scores without a shift."""
    predictions: Predictions | None
    seconds: float
    """Training and scoring."""


def score_svm(dataset: TextDataset) -> Scored:
    """Train the SVM, tune its shift on validation, look at test once.

    Raises:
        UserError: the training texts have no words.
    """
    started = time.perf_counter()
    svm = fit(dataset)
    data = labels_alone(dataset)
    threshold = float(expit(svm.shift))
    validation = evaluation_report(
        _batches(svm, dataset.val), threshold=threshold, data=data, split="val"
    )
    found = evaluate(
        _batches(svm, dataset.test), threshold=threshold, data=data, documents=dataset.test.ids
    )
    return Scored(
        kind="svm",
        settings={"features": "TfidfVectorizer()", "classifier": "LinearSVC", **SETTINGS},
        shift=svm.shift,
        validation=validation,
        report={**with_intervals(found), "shift": svm.shift},
        predictions=found.predictions,
        seconds=time.perf_counter() - started,
    )


def _batches(svm: Svm, split: TextSplit) -> Iterator[tuple[Tensor, Tensor]]:
    true_NL = LabelSets.of(split.labels).matrix(svm.num_labels)
    start = 0
    for decisions_BL in svm.decisions(split.texts):
        stop = start + len(decisions_BL)
        yield _tensors(decisions_BL, true_NL[start:stop].toarray() > 0)
        start = stop


def _tensors(decisions_BL: Floats, true_BL: Any) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(as_probabilities(decisions_BL)), torch.from_numpy(true_BL)
