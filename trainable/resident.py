"""A split that lives on the device: a batch is gathered there, and nothing waits for the host.

Batches end with one dummy document, whose row of the logits is ignored: it fills them up to a
number of word pieces that the caller chooses, so that shapes can be the same from step to step.

Shapes: B documents of a batch, T word pieces, N documents of the split, L labels, K the most
labels of one document.
"""

import dataclasses
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from trainable.encoded import EncodedSplit
from trainable.packing import PackedTokens

BUCKET: Final = 512
"""Static batches have a multiple of this many word pieces: 4 % more of them, in 8 to 10 shapes
(simulated with Reuters' lengths and batches of 32)."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class VarlenBatch(PackedTokens):
    """Documents in the order asked for, then the dummy: B + 1 documents in all."""

    cu_seqlens: Tensor
    """[B + 2] int32: where documents begin, and T."""
    max_length: int
    """No document is longer, nor is the dummy; the same for all batches of a split."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ResidentSplit:
    """The arrays of an `EncodedSplit` as tensors of one device."""

    token_ids: Tensor
    """int32"""
    token_offsets: Tensor
    """[N + 1] int64"""
    label_ids: Tensor
    """int64, at least one element"""
    label_offsets: Tensor
    """[N + 1] int64"""
    max_labels: int
    """K, at least 1."""
    max_length: int
    """Of its documents, in word pieces."""

    @classmethod
    def of(cls, split: EncodedSplit, device: torch.device) -> Self:
        """Copy a split, at least one document, to `device`."""
        return cls(
            token_ids=_copied(split.token_ids, device),
            token_offsets=_copied(split.token_offsets, device),
            label_ids=_copied(np.append(split.label_ids, 0).astype(np.int64), device),
            label_offsets=_copied(split.label_offsets, device),
            max_labels=max(1, int(np.diff(split.label_offsets).max())),
            max_length=int(split.lengths.max()),
        )

    def batch(self, docs_B: Tensor, num_tokens: int) -> VarlenBatch:
        """Gather documents, and the dummy that fills them up.

        Args:
            docs_B: int64 on the device.
            num_tokens: T: from 1 to `BUCKET` more than the documents have.
        """
        device = docs_B.device
        starts_B = self.token_offsets[docs_B]
        ends_B = (self.token_offsets[docs_B + 1] - starts_B).cumsum(0)
        total = torch.full((1,), num_tokens, device=device)
        first = F.pad(ends_B, (1, 0))  # of the B documents and the dummy
        token_T = torch.arange(num_tokens, device=device)
        doc_T = torch.searchsorted(ends_B, token_T, right=True)
        dummy_T = doc_T == len(docs_B)
        position_T = (token_T - first[doc_T]).masked_fill(dummy_T, 0)
        source_T = (F.pad(starts_B, (0, 1))[doc_T] + position_T).masked_fill(dummy_T, 0)
        return VarlenBatch(
            token_ids_T=self.token_ids[source_T],
            position_ids_T=position_T,
            first_B=first,
            cu_seqlens=torch.cat([first, total]).to(torch.int32),
            max_length=max(self.max_length, BUCKET),
        )

    def targets(self, docs_B: Tensor, num_labels: int) -> Tensor:
        """Targets [B, L] bool."""
        starts_B1 = self.label_offsets[docs_B][:, None]
        ends_B1 = self.label_offsets[docs_B + 1][:, None]
        source_BK = starts_B1 + torch.arange(self.max_labels, device=docs_B.device)
        none_BK = source_BK >= ends_B1
        labels_BK = self.label_ids[source_BK.clamp(max=len(self.label_ids) - 1)]
        labels_BK = labels_BK.masked_fill(none_BK, num_labels)  # a column that is cut off
        targets = torch.zeros(
            len(docs_B), num_labels + 1, dtype=torch.bool, device=docs_B.device
        ).scatter_(1, labels_BK, True)
        return targets[:, :num_labels]


def _copied(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    # a copy even on a CPU: a memory map that cannot be written to is refused with a warning
    return torch.from_numpy(np.array(array)).to(device)
