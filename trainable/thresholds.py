"""Counts of right and wrong predictions at every threshold of a fixed grid, in one pass.

A label is predicted where `p >= t`, both in float32: exactly what `probs >= t` means for a float32
tensor or array and a Python float t. So a probability of `float32(0.3)` is predicted at t = 0.3.

Shapes: B batch, L labels, K thresholds.
"""

import dataclasses
from typing import Final

import torch
from torch import Tensor

THRESHOLDS_K: Final[tuple[float, ...]] = tuple(k / 100 for k in range(1, 100))
"""0.01 to 0.99, step 0.01. The released code searched 0.40 to 0.60 only, too narrow for bce."""

HALF: Final = THRESHOLDS_K.index(0.5)
"""Index of the threshold 0.5."""

# probabilities that are looked at together: bounds the memory of one update
_CHUNK_ELEMENTS: Final = 1 << 22


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """True positives, false positives and false negatives per threshold and label.

    int64 on the CPU, [K, L]; `tp_KL[k]` belongs to `THRESHOLDS_K[k]`.
    """

    tp_KL: Tensor
    fp_KL: Tensor
    fn_KL: Tensor


class ThresholdCounts:
    """Accumulates, per label, a histogram of probabilities between neighbouring thresholds.

    Memory is O(K * L), about 1,600 bytes a label, plus about 100 MiB while a batch is added,
    whatever the number of documents. Counts are exact integers: neither the order of the batches
    nor their size changes them.
    """

    def __init__(self, num_labels: int, device: torch.device | str = "cpu") -> None:
        self._num_labels = num_labels
        self._grid_K = torch.tensor(THRESHOLDS_K, dtype=torch.float32, device=device)
        size = num_labels * (len(THRESHOLDS_K) + 1) * 2
        self._histogram = torch.zeros(size, dtype=torch.int64, device=device)

    def update(self, probs_BL: Tensor, targets_BL: Tensor) -> None:
        """Add documents.

        Args:
            probs_BL: probabilities in [0, 1]; rounded to float32. NaN predicts nothing.
            targets_BL: bool, or numbers 0 and 1.

        Raises:
            ValueError: the shapes differ, or have another number of labels.
        """
        if probs_BL.shape != targets_BL.shape or probs_BL.shape[1:] != (self._num_labels,):
            raise ValueError(
                f"probs and targets must have shape [B, {self._num_labels}], "
                f"got {tuple(probs_BL.shape)} and {tuple(targets_BL.shape)}"
            )
        rows = max(1, _CHUNK_ELEMENTS // self._num_labels)
        for probs, targets in zip(probs_BL.split(rows), targets_BL.split(rows), strict=True):
            self._add(probs, targets)

    def _add(self, probs_BL: Tensor, targets_BL: Tensor) -> None:
        device = self._histogram.device
        probs_BL = probs_BL.to(device, torch.float32)
        positive_BL = targets_BL.to(device) > 0.5
        # the many negatives below the lowest threshold count nowhere; NaN is among them
        row, label = ((probs_BL >= self._grid_K[0]) | positive_BL).nonzero(as_tuple=True)
        probs = probs_BL[row, label].nan_to_num(nan=0.0)
        # number of thresholds at or below p: predicted at threshold k iff the bin is above k
        bins = torch.bucketize(probs, self._grid_K, right=True)
        index = (label * (len(THRESHOLDS_K) + 1) + bins) * 2 + positive_BL[row, label]
        self._histogram.scatter_add_(0, index, torch.ones_like(index))

    def counts(self) -> Counts:
        """The counts so far, at every threshold."""
        histogram_LK2 = self._histogram.view(self._num_labels, len(THRESHOLDS_K) + 1, 2)
        # documents in the bins above k: a sum from the right
        above_LK2 = histogram_LK2.flip(1).cumsum(1).flip(1)
        predicted_2KL = above_LK2[:, 1:].permute(2, 1, 0).cpu()
        positives_L = above_LK2[:, 0, 1].cpu()
        tp_KL = predicted_2KL[1].contiguous()
        return Counts(tp_KL=tp_KL, fp_KL=predicted_2KL[0].contiguous(), fn_KL=positives_L - tp_KL)


def micro_f1_curve(counts: Counts) -> Tensor:
    """Micro-F1 at every threshold, float64 in [0, 1], [K]; 0 where it is undefined."""
    tp_K, fp_K, fn_K = (x.sum(dim=1) for x in (counts.tp_KL, counts.fp_KL, counts.fn_KL))
    return f1(tp_K, fp_K, fn_K)


def macro_f1_curve(counts: Counts) -> Tensor:
    """Mean over the labels of their F1 at every threshold, float64 in [0, 1], [K]."""
    return f1(counts.tp_KL, counts.fp_KL, counts.fn_KL).mean(dim=1)


def f1(tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
    """F1 of counts of any one shape, float64; 0 where nothing is positive or predicted (D5)."""
    total = 2 * tp + fp + fn
    return (2 * tp).double() / total.clamp_min(1).double()


def best_threshold(score_K: Tensor) -> int:
    """Index into `THRESHOLDS_K` of the highest score, [K]; of equals the one nearest to 0.5.

    Of two equally near the lower one.
    """
    equals = (score_K == score_K.max()).nonzero().flatten().tolist()
    return int(min(equals, key=lambda k: abs(k - HALF)))
