"""A threshold for each label, tuned on validation and drawn back to the one that all share.

A label with three validation documents has a best threshold that says little. So each moves from
the shared threshold towards its own best by n / (n + k), where n counts its validation documents;
a label without any keeps the shared one. k is chosen by cross-validation within the validation
documents, by macro-F1 of the held-out folds; moving no label at all is among the choices and wins
ties. Shapes: B batch, L labels, K thresholds of the grid.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Final

import torch
from torch import Tensor

from trainable.metrics import scores
from trainable.thresholds import THRESHOLDS_K, Counts, ThresholdCounts, f1

FOLDS: Final = 5
SMOOTHINGS: Final = (math.inf, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""k; infinite: every label keeps the shared threshold."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OwnThresholds:
    """What was chosen."""

    values_L: Tensor
    """float32, in (0, 1)."""
    smoothing: float
    """k, or infinity."""
    held_out: Mapping[float, float]
    """Macro-F1 of the held-out folds for each k, in [0, 1]."""


def tune_own_thresholds(
    batches: Iterable[tuple[Tensor, Tensor]], *, num_labels: int, shared: float
) -> OwnThresholds:
    """Choose a threshold for each label.

    Args:
        batches: `(probs_BL, targets_BL)` of the validation documents, as for `evaluation_report`;
            read once. Document n is in fold n % 5.
        num_labels: L.
        shared: the threshold of all, in (0, 1).
    """
    folds = [ThresholdCounts(num_labels) for _ in range(FOLDS)]
    place = 0
    for probs_BL, targets_BL in batches:
        fold_B = (torch.arange(len(probs_BL)) + place) % FOLDS
        place += len(probs_BL)
        for number, fold in enumerate(folds):
            fold.update(probs_BL[fold_B == number], targets_BL[fold_B == number])
    counts = [fold.counts() for fold in folds]
    total = _sum(counts)
    held_out = {k: _held_out_score(counts, total, shared, k) for k in SMOOTHINGS}
    # the first of equals: the one that moves the labels least
    smoothing = max(SMOOTHINGS, key=lambda k: held_out[k])
    return OwnThresholds(
        values_L=smoothed(total, shared, smoothing), smoothing=smoothing, held_out=held_out
    )


def smoothed(counts: Counts, shared: float, smoothing: float) -> Tensor:
    """Each label's best threshold, drawn back to `shared`; float32 [L].

    Args:
        counts: of the documents to tune on.
        shared: in (0, 1).
        smoothing: k; the weight of a label with n positive documents is n / (n + k).
    """
    grid_K = torch.tensor(THRESHOLDS_K, dtype=torch.float64)
    f1_KL = f1(counts.tp_KL, counts.fp_KL, counts.fn_KL)
    # of equal thresholds the one nearest to the shared one
    nearness_K1 = -(grid_K - shared).abs()[:, None]
    nearest_KL = torch.where(f1_KL == f1_KL.max(dim=0).values, nearness_K1, -math.inf)
    best_L = grid_K[nearest_KL.argmax(dim=0)]
    positives_L = (counts.tp_KL[0] + counts.fn_KL[0]).double()
    if math.isinf(smoothing):
        weight_L = torch.zeros_like(positives_L)
    else:
        weight_L = positives_L / (positives_L + smoothing)
    return (shared + weight_L * (best_L - shared)).float()


def _held_out_score(folds: list[Counts], total: Counts, shared: float, smoothing: float) -> float:
    """Every fold predicted at the thresholds of the others, to a hundredth."""
    held_3L = torch.zeros(3, total.tp_KL.shape[1], dtype=torch.int64)
    for fold in folds:
        rest = Counts(
            tp_KL=total.tp_KL - fold.tp_KL,
            fp_KL=total.fp_KL - fold.fp_KL,
            fn_KL=total.fn_KL - fold.fn_KL,
        )
        steps_L = (smoothed(rest, shared, smoothing).double() * 100).round().long() - 1
        index_1L = steps_L.clamp(0, len(THRESHOLDS_K) - 1)[None]
        for row, counts_KL in enumerate((fold.tp_KL, fold.fp_KL, fold.fn_KL)):
            held_3L[row] += counts_KL.gather(0, index_1L)[0]
    return scores(*held_3L)[1]


def _sum(counts: list[Counts]) -> Counts:
    return Counts(
        tp_KL=torch.stack([c.tp_KL for c in counts]).sum(0),
        fp_KL=torch.stack([c.fp_KL for c in counts]).sum(0),
        fn_KL=torch.stack([c.fn_KL for c in counts]).sum(0),
    )
