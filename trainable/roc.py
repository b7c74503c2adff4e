"""Micro ROC AUC of any number of documents and labels, in one pass and in bounded memory.

Exact would mean to sort all documents x labels. Here scores are counted in bins: a bin is what
float32 numbers share in their sign, exponent and first 15 bits of mantissa, so its width is 3e-5 of
the score, small scores included. Within a bin nothing is known of the order, and ties count half;
how far that can be from the truth is known exactly, and is told.

Shapes: B batch, L labels.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor

_DROPPED_BITS: Final = 8
_ONE: Final = 0x3F800000
"""The bits of 1.0: non-negative float32 are ordered as their bits are."""
_BINS: Final = (_ONE >> _DROPPED_BITS) + 1


class RocAuc(NamedTuple):
    """The area under the ROC curve, in [0, 1], and how far it can be from the exact one."""

    auc: float
    error: float


class MicroRocAuc:
    """Counts all (document, label) pairs by score; 68 MB, whatever their number."""

    def __init__(self) -> None:
        self._pairs = torch.zeros(2 * _BINS, dtype=torch.int64)

    def update(self, probs_BL: Tensor, targets_BL: Tensor) -> None:
        """Add documents.

        Args:
            probs_BL: in [0, 1], float32, on the CPU. NaN counts as 0.
            targets_BL: bool.
        """
        # + 0.0: the bits of -0.0 are those of a negative number
        probs = probs_BL.nan_to_num(nan=0.0).clamp(0.0, 1.0).flatten() + 0.0
        bins = probs.view(torch.int32).long() >> _DROPPED_BITS
        index = 2 * bins + targets_BL.flatten()
        self._pairs.scatter_add_(0, index, torch.ones_like(index))

    def result(self) -> RocAuc | None:
        """The area so far; None where all pairs are positive, or none is."""
        negative, positive = self._pairs.view(_BINS, 2).double().unbind(dim=1)
        pairs = float(positive.sum() * negative.sum())
        if not pairs:
            return None
        below = negative.cumsum(0) - negative
        tied = float((positive * negative).sum()) / 2
        return RocAuc(auc=(float((positive * below).sum()) + tied) / pairs, error=tied / pairs)
