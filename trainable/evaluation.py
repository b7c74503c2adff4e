"""The full report of one split, in a single pass over its predictions.

Counts and sparse label sets are all that is kept: nothing of the size documents x labels.

Shapes: B batch, N documents, L labels, K thresholds.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from trainable.bootstrap import intervals
from trainable.datasets.records import GROUPS, Group
from trainable.encoded import EncodedDataset
from trainable.metrics import all_scores, share
from trainable.predictions import LabelSets, Predictions, PredictionsBuilder
from trainable.roc import MicroRocAuc
from trainable.thresholds import (
    THRESHOLDS_K,
    ThresholdCounts,
    f1,
    macro_f1_curve,
    micro_f1_curve,
)

_AT_HALF: Final = "_at_0.5"
OWN_THRESHOLDS: Final = "own_thresholds"
"""The block of scores where every label has a threshold of its own."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What was found out about a split."""

    report: dict[str, Any]
    """Ready for JSON; see `evaluation_report`."""
    predictions: Predictions | None
    """At the one threshold; None where there were too many to keep."""
    own_predictions: Predictions | None = None
    """At the labels' own thresholds, where these were given."""


def evaluation_report(
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    threshold: float,
    data: EncodedDataset,
    split: str = "test",
) -> dict[str, Any]:
    """Everything that is reported of a split, ready for JSON.

    Undefined precision, recall and F1 are 0 (DESIGN D5); every macro score is a mean over all
    labels it concerns, those without a positive document included, as in the paper.

    Args:
        batches: `(probs_BL, targets_BL)`: float32 probabilities and bool targets on the CPU.
        threshold: t in (0, 1); a label is predicted where p >= t, in float32. Need not lie on
            the grid of `THRESHOLDS_K`.
        data: for label names, groups and training counts.
        split: what the batches are of; only written into the report.

    Returns:
        `split`, `threshold`, `num_docs`; `micro_f1`, `macro_f1`, `micro_precision`, ... and the
        same at 0.5 (`micro_f1_at_0.5`, ...); `micro_roc_auc` with `micro_roc_auc_error`, how far
        it can be off (`trainable.roc`), left out where it is undefined; `head`, `medium`, `tail`
        with the same scores, left out for a group without labels; `single_label` and
        `multi_label` documents (exactly one, more than one label) with `num_docs` and the same
        scores, left out where there is no such document; `per_label`, a list in label order;
        `threshold_curve`.
    """
    return evaluate(batches, threshold=threshold, data=data, split=split).report


def evaluate(
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    threshold: float,
    data: EncodedDataset,
    split: str = "test",
    documents: Sequence[str] = (),
    own_thresholds_L: Tensor | None = None,
) -> Evaluation:
    """The report, and the predictions it is of.

    Args:
        batches: as for `evaluation_report`; read once.
        threshold: likewise.
        data: likewise.
        split: likewise.
        documents: their ids, in order; empty: their places.
        own_thresholds_L: float32 [L], one for each label, reported beside.

    Returns:
        The report of `evaluation_report`; with `own_thresholds_L` also `own_thresholds`, the
        scores at these, and a column of them in `per_label`.
    """
    counted = _Counted(threshold, data.num_labels, own_thresholds_L)
    for probs_BL, targets in batches:
        counted.update(probs_BL.float(), targets > 0.5)
    report = counted.report(split, data)
    names = tuple(documents) or tuple(map(str, range(counted.num_docs)))
    assert len(names) == counted.num_docs, "one id for each document"
    true = counted.true.result()

    def predictions(rule: "_Rule | None", at: float) -> Predictions | None:
        chosen = None if rule is None else rule.chosen.result()
        if chosen is None or true is None:
            return None
        return _predictions(names, data, at, chosen, true)

    return Evaluation(
        report=report,
        predictions=predictions(counted.tuned, threshold),
        own_predictions=predictions(counted.own, threshold),
    )


def with_intervals(found: Evaluation) -> dict[str, Any]:
    """The report with `intervals` of its F1 scores (`trainable.bootstrap`), where they can be told.

    A split of no documents, or with more predictions than are kept, has none.
    """
    if found.predictions is None or not found.predictions.documents:
        return found.report
    return {**found.report, "intervals": intervals(found.predictions)}


class _LabelCounts:
    """Per-label counts at one threshold over some of the documents."""

    def __init__(self, num_labels: int) -> None:
        self.num_docs = 0
        self.tp_fp_fn_3L = torch.zeros(3, num_labels, dtype=torch.int64)

    def update(self, preds_BL: Tensor, targets_BL: Tensor) -> None:
        self.num_docs += len(preds_BL)
        for row, hits_BL in enumerate(
            (preds_BL & targets_BL, preds_BL & ~targets_BL, ~preds_BL & targets_BL)
        ):
            self.tp_fp_fn_3L[row] += hits_BL.sum(dim=0)


class _Rule:
    """What is predicted at a threshold, or at one a label: counted, and the label sets."""

    def __init__(self, limit: float | Tensor, num_labels: int, *, keep: bool) -> None:
        self._limit = limit
        self._keep = keep
        self.chosen = PredictionsBuilder()
        self.parts = {
            name: _LabelCounts(num_labels) for name in ("single_label", "multi_label", "no_label")
        }

    def update(self, probs_BL: Tensor, targets_BL: Tensor) -> None:
        preds_BL = probs_BL >= self._limit
        if self._keep:
            self.chosen.update(preds_BL)
        labels_B = targets_BL.sum(dim=1)
        for name, chosen_B in (
            ("single_label", labels_B == 1),
            ("multi_label", labels_B > 1),
            ("no_label", labels_B == 0),
        ):
            if chosen_B.any():
                self.parts[name].update(preds_BL[chosen_B], targets_BL[chosen_B])

    @property
    def total(self) -> Tensor:
        """`tp`, `fp`, `fn`, [3, L]."""
        return torch.stack([part.tp_fp_fn_3L for part in self.parts.values()]).sum(dim=0)

    def scores(self, groups: Sequence[Group]) -> dict[str, dict[str, float]]:
        """Scores of all (``), of each group with labels and of each kind of documents."""
        total_3L = self.total
        found = {"": all_scores(*total_3L)}
        for group in GROUPS:
            members = [label for label, its in enumerate(groups) if its == group]
            if members:
                found[group] = all_scores(*total_3L[:, members])
        for name in ("single_label", "multi_label"):
            if self.parts[name].num_docs:
                found[name] = all_scores(*self.parts[name].tp_fp_fn_3L)
        return found


class _Counted:
    """All counts of one pass."""

    def __init__(self, threshold: float, num_labels: int, own_L: Tensor | None) -> None:
        self.threshold = threshold
        self.own_L = own_L
        self.num_docs = 0
        self.tuned = _Rule(threshold, num_labels, keep=True)
        self.half = _Rule(0.5, num_labels, keep=False)
        self.own = None if own_L is None else _Rule(own_L, num_labels, keep=True)
        self.true = PredictionsBuilder()
        self.curve = ThresholdCounts(num_labels)
        self.roc = MicroRocAuc()

    def update(self, probs_BL: Tensor, targets_BL: Tensor) -> None:
        self.num_docs += len(probs_BL)
        self.true.update(targets_BL)
        self.curve.update(probs_BL, targets_BL)
        self.roc.update(probs_BL, targets_BL)
        for rule in (self.tuned, self.half, *([self.own] if self.own else [])):
            rule.update(probs_BL, targets_BL)

    def report(self, split: str, data: EncodedDataset) -> dict[str, Any]:
        tuned, half = self.tuned.scores(data.groups), self.half.scores(data.groups)
        blocks: dict[str, dict[str, Any]] = {
            name: scores | {f"{key}{_AT_HALF}": value for key, value in half[name].items()}
            for name, scores in tuned.items()
        }
        for name in blocks.keys() & self.tuned.parts.keys():
            blocks[name] = {"num_docs": self.tuned.parts[name].num_docs, **blocks[name]}
        head = {"split": split, "threshold": self.threshold, "num_docs": self.num_docs}
        report = {**head, **blocks.pop(""), **self._roc_auc(), **blocks}
        if self.own is not None:
            own = self.own.scores(data.groups)
            report[OWN_THRESHOLDS] = {**own.pop(""), **own}
        report["per_label"] = self._per_label(data)
        counts = self.curve.counts()
        tp_K, fp_K, fn_K = (x.sum(dim=1) for x in (counts.tp_KL, counts.fp_KL, counts.fn_KL))
        report["threshold_curve"] = {
            "threshold": list(THRESHOLDS_K),
            "micro_f1": micro_f1_curve(counts).tolist(),
            "macro_f1": macro_f1_curve(counts).tolist(),
            "micro_precision": share(tp_K, fp_K).tolist(),
            "micro_recall": share(tp_K, fn_K).tolist(),
        }
        return report

    def _roc_auc(self) -> dict[str, float]:
        found = self.roc.result()
        if found is None:
            return {}
        return {"micro_roc_auc": found.auc, "micro_roc_auc_error": found.error}

    def _per_label(self, data: EncodedDataset) -> list[dict[str, Any]]:
        tp_L, fp_L, fn_L = self.tuned.total
        columns = {
            "label": data.label_names,
            "group": data.groups,
            "train_count": np.bincount(data.train.label_ids, minlength=data.num_labels).tolist(),
            "support": (tp_L + fn_L).tolist(),
            "threshold": [self.threshold] * data.num_labels,
            "precision": share(tp_L, fp_L).tolist(),
            "recall": share(tp_L, fn_L).tolist(),
            "f1": f1(tp_L, fp_L, fn_L).tolist(),
        }
        if self.own is not None and self.own_L is not None:
            columns["own_threshold"] = [round(t, 6) for t in self.own_L.tolist()]
            columns["own_f1"] = f1(*self.own.total).tolist()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _predictions(
    documents: tuple[str, ...],
    data: EncodedDataset,
    threshold: float,
    predicted: LabelSets,
    true: LabelSets,
) -> Predictions:
    return Predictions(
        documents=documents,
        label_names=data.label_names,
        groups=data.groups,
        threshold=threshold,
        predicted=predicted,
        true=true,
    )
