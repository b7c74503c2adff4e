"""The full report of one split at one threshold, in a single pass over its predictions.

Shapes: B batch, L labels, K thresholds.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainable.encoded import EncodedDataset
from trainable.metrics import at_threshold, group_scores, scores
from trainable.thresholds import (
    HALF,
    THRESHOLDS_K,
    Counts,
    ThresholdCounts,
    f1,
    macro_f1_curve,
    micro_f1_curve,
)


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

    def scores(self) -> dict[str, float]:
        micro, macro = scores(*self.tp_fp_fn_3L.unbind())
        return {"micro_f1": micro, "macro_f1": macro}


def evaluation_report(
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    threshold: float,
    data: EncodedDataset,
    split: str = "test",
) -> dict[str, Any]:
    """Everything that is reported of a split, ready for JSON.

    Reads the batches once and keeps counts only. Undefined F1 is 0 (DESIGN D5); every macro-F1 is a
    mean over all labels it concerns, those without a positive document included, as in the paper.

    Args:
        batches: `(probs_BL, targets_BL)`: float32 probabilities and bool targets on the CPU.
        threshold: t in (0, 1); a label is predicted where p >= t, in float32. Need not lie on
            the grid of `THRESHOLDS_K`.
        data: for label names, groups and training counts.
        split: what the batches are of; only written into the report.

    Returns:
        `split`, `threshold`, `num_docs`, `micro_f1`, `macro_f1`, `micro_f1_at_0.5`,
        `macro_f1_at_0.5`; `head`, `medium`, `tail` with their `micro_f1` and `macro_f1`, left out
        for a group without labels; `single_label` and `multi_label` documents (exactly one, more
        than one label) with `num_docs`, `micro_f1`, `macro_f1`, left out where there is no such
        document; `per_label`, a list in label order; `threshold_curve`.
    """
    total, single, multi, counts = _count(batches, threshold, data.num_labels)
    micro_half, macro_half = scores(*at_threshold(counts, HALF))
    report: dict[str, Any] = {
        "split": split,
        "threshold": threshold,
        "num_docs": total.num_docs,
        **total.scores(),
        "micro_f1_at_0.5": micro_half,
        "macro_f1_at_0.5": macro_half,
    }
    tp_L, fp_L, fn_L = total.tp_fp_fn_3L
    for group, (micro, macro) in group_scores(tp_L, fp_L, fn_L, data.groups).items():
        report[group] = {"micro_f1": micro, "macro_f1": macro}
    for name, some in (("single_label", single), ("multi_label", multi)):
        if some.num_docs:
            report[name] = {"num_docs": some.num_docs, **some.scores()}
    report["per_label"] = _per_label(total, data)
    report["threshold_curve"] = {
        "threshold": list(THRESHOLDS_K),
        "micro_f1": micro_f1_curve(counts).tolist(),
        "macro_f1": macro_f1_curve(counts).tolist(),
    }
    return report


def _count(
    batches: Iterable[tuple[Tensor, Tensor]], threshold: float, num_labels: int
) -> tuple[_LabelCounts, _LabelCounts, _LabelCounts, Counts]:
    """All documents, those with one label, those with more; and all at every threshold."""
    total, single, multi = (_LabelCounts(num_labels) for _ in range(3))
    curve = ThresholdCounts(num_labels)
    for probs_BL, targets in batches:
        probs_BL, targets_BL = probs_BL.float(), targets > 0.5
        preds_BL = probs_BL >= threshold
        curve.update(probs_BL, targets_BL)
        total.update(preds_BL, targets_BL)
        labels_B = targets_BL.sum(dim=1)
        for some, chosen_B in ((single, labels_B == 1), (multi, labels_B > 1)):
            some.update(preds_BL[chosen_B], targets_BL[chosen_B])
    return total, single, multi, curve.counts()


def _per_label(total: _LabelCounts, data: EncodedDataset) -> list[dict[str, Any]]:
    tp_L, fp_L, fn_L = total.tp_fp_fn_3L
    precision_L = tp_L.double() / (tp_L + fp_L).clamp_min(1)
    recall_L = tp_L.double() / (tp_L + fn_L).clamp_min(1)
    columns = {
        "label": data.label_names,
        "group": data.groups,
        "train_count": np.bincount(data.train.label_ids, minlength=data.num_labels).tolist(),
        "support": (tp_L + fn_L).tolist(),
        "precision": precision_L.tolist(),
        "recall": recall_L.tolist(),
        "f1": f1(tp_L, fp_L, fn_L).tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
