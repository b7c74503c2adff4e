"""Documents without padding: a batch as one row of word pieces, with a plan for its attention.

Linear layers, LayerNorm and dropout run over the T real word pieces. Attention needs rectangles:
documents of like length share a group and are padded to its longest, so that little is wasted.
Length-sorted order inside a batch changes nothing: the loss is a sum over its documents.

Shapes: B documents, T word pieces in all; n documents of one group, W its width.
"""

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainable.encoded import EncodedSplit

MAX_WASTE: Final = 1.2
"""Padded over real area of a group's attention. Finer groups cost calls, coarser ones arithmetic:
between 1.02 and 1.2 the difference is noise, 1.5 is slower (docs/LOG.md, 2026-11-22)."""

MASKED: Final = -30_000.0
"""Added to the scores of padding keys: their softmax underflows to 0, in bfloat16 too."""

Lengths = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AttentionGroup:
    """n neighbouring documents of a `PackedBatch`, padded to W word pieces for attention."""

    num_docs: int
    num_tokens: int
    width: int
    gather: Tensor | None
    """[n * W] int64: where in the group's word pieces to read, padding reading a document's first;
    None where all documents are W long."""
    real: Tensor | None
    """[num_tokens] int64: which of the n * W are real; None as above."""
    key_bias: Tensor | None
    """[n, 1, W] float32: 0 for real keys, `MASKED` for padding; None as above."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PackedTokens:
    """B documents, one after the other."""

    token_ids_T: Tensor
    """int32 or int64"""
    position_ids_T: Tensor
    """int64, from 0 in each document."""
    first_B: Tensor
    """int64: where each document's [CLS] is."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PackedBatch(PackedTokens):
    """Documents from short to long, with the plan of their attention on a CPU."""

    groups: tuple[AttentionGroup, ...]


def by_length(split: EncodedSplit, docs_B: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The same documents from short to long, ties in the order given."""
    return docs_B[np.argsort(split.lengths[docs_B], kind="stable")]


def pack(split: EncodedSplit, docs_B: npt.NDArray[np.int64]) -> PackedBatch:
    """Pack at least one document; `docs_B` must be sorted by `by_length`."""
    lengths_B = split.lengths[docs_B]
    assert (np.diff(lengths_B) >= 0).all(), "documents must come from short to long"
    ends_B = np.cumsum(lengths_B)
    first_B = ends_B - lengths_B
    positions_T = np.arange(ends_B[-1]) - np.repeat(first_B, lengths_B)
    source_T = np.repeat(split.token_offsets[docs_B], lengths_B) + positions_T
    return PackedBatch(
        token_ids_T=torch.from_numpy(split.token_ids[source_T].astype(np.int64)),
        position_ids_T=torch.from_numpy(positions_T),
        first_B=torch.from_numpy(first_B),
        groups=tuple(_group(lengths_B[start:end]) for start, end in _cut(lengths_B)),
    )


def _cut(lengths_B: Lengths) -> list[tuple[int, int]]:
    """Greedy ranges, each as long as `MAX_WASTE` allows."""
    area_B = np.concatenate([[0], np.cumsum(lengths_B**2)])
    ranges: list[tuple[int, int]] = []
    start = 0
    while start < len(lengths_B):
        ends = np.arange(start + 1, len(lengths_B) + 1)
        padded = (ends - start) * lengths_B[start:] ** 2
        end = int(ends[padded <= MAX_WASTE * (area_B[ends] - area_B[start])].max())
        ranges.append((start, end))
        start = end
    return ranges


def _group(lengths_n: Lengths) -> AttentionGroup:
    width = int(lengths_n[-1])
    gather = real = key_bias = None
    if lengths_n[0] < width:
        first_n1 = (np.cumsum(lengths_n) - lengths_n)[:, None]
        column_W = np.arange(width)
        real_nW = column_W < lengths_n[:, None]
        gather = torch.from_numpy((first_n1 + np.where(real_nW, column_W, 0)).ravel())
        real = torch.from_numpy(np.flatnonzero(real_nW))
        bias_nW = np.where(real_nW, 0.0, MASKED).astype(np.float32)
        key_bias = torch.from_numpy(bias_nW)[:, None, :]
    return AttentionGroup(
        num_docs=len(lengths_n),
        num_tokens=int(lengths_n.sum()),
        width=width,
        gather=gather,
        real=real,
        key_bias=key_bias,
    )
