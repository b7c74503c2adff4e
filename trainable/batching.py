"""From document numbers to padded tensors: the order of an epoch, slices of like length.

A step of the optimiser always sees the same B documents; they are cut into slices of like length
that are padded each to its own longest, and whose gradients add up. Buckets across the whole set
would make batches of one class, because Reuters' largest class is short.

Shapes: B documents of a slice or batch, L labels, N documents of a split, T word pieces, P pairs
of a document and one of its labels.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainable.device import upload
from trainable.encoded import EncodedSplit

Indices = npt.NDArray[np.int64]

_WIDTH_MULTIPLE: Final = 8
"""Widths are rounded up to this: aligned loads, and attention masks that GPU kernels accept."""


def epoch_order(num_docs: int, *, seed: int, epoch: int) -> Indices:
    """The order of the documents in an epoch: [N], a function of its arguments alone."""
    return np.random.default_rng([seed, epoch]).permutation(num_docs)


def batches_of(order: Indices, batch_size: int) -> Iterator[Indices]:
    """Consecutive batches; the last one may be smaller."""
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def cut_slices(
    lengths_B: Indices, *, max_width: int, max_tokens: int, overhead_tokens: int
) -> list[Indices]:
    """Cut documents into slices of like length, with the least padding that is worth it.

    Exact, by dynamic programming over the sorted lengths: the cost of a slice is its documents x
    its width, plus `overhead_tokens`.

    Args:
        lengths_B: word pieces per document.
        max_width: rounding up to the multiple stops here (the encoder's positions).
        max_tokens: no slice is larger, unless it is one document.
        overhead_tokens: what a slice of any size costs besides, in word pieces.

    Returns:
        Positions in `lengths_B`, each exactly once; slices from short to long.
    """
    order_B = np.argsort(lengths_B, kind="stable")
    widths_B = _width(lengths_B[order_B], max_width)
    num_docs = len(order_B)
    best = np.zeros(num_docs + 1)
    start_of = np.zeros(num_docs + 1, dtype=np.int64)
    for end in range(1, num_docs + 1):
        tokens = (end - np.arange(end)) * widths_B[end - 1]
        cost = best[:end] + tokens + overhead_tokens
        cost[:-1][tokens[:-1] > max_tokens] = np.inf
        start_of[end] = int(np.argmin(cost))
        best[end] = cost[start_of[end]]
    slices: list[Indices] = []
    end = num_docs
    while end > 0:
        slices.append(order_B[start_of[end] : end])
        end = int(start_of[end])
    return slices[::-1]


def cut_packed(
    lengths_B: Indices, *, max_tokens: int, max_docs: int | None = None
) -> list[Indices]:
    """Cut documents, from short to long, into slices of at most `max_tokens` word pieces.

    Args:
        lengths_B: word pieces per document.
        max_tokens: of a slice.
        max_docs: of a slice; None: any number.

    Returns:
        Positions in `lengths_B`, each exactly once; a longer document has a slice of its own.
    """
    order_B = np.argsort(lengths_B, kind="stable")
    ends_B = np.cumsum(lengths_B[order_B])
    slices: list[Indices] = []
    start = 0
    while start < len(order_B):
        before = int(ends_B[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends_B, before + max_tokens, side="right")))
        end = end if max_docs is None else min(end, start + max_docs)
        slices.append(order_B[start:end])
        start = end
    return slices


def halve(slices: Iterable[Indices], lengths_B: Indices) -> list[Indices]:
    """The slices cut again, each into parts of at most half its documents and word pieces.

    Args:
        slices: positions in `lengths_B`.
        lengths_B: word pieces per document.

    Returns:
        The same positions; half is rounded up, and one document is never cut. The parts of a slice
        go from short to long.
    """
    parts: list[Indices] = []
    for positions in slices:
        lengths = lengths_B[positions]
        limits = {"max_tokens": half_of(int(lengths.sum())), "max_docs": half_of(len(lengths))}
        parts += [positions[part] for part in cut_packed(lengths, **limits)]
    return parts


def half_of(count: int) -> int:
    """Half of something that cannot be cut below one.

    >>> half_of(32), half_of(7), half_of(1)
    (16, 4, 1)
    """
    return -(-count // 2)


def padded_tokens(
    split: EncodedSplit, docs_B: Indices, *, pad_id: int, max_width: int, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """The word pieces of some documents, padded to the longest of them.

    Returns:
        `ids_BT` int64, and `mask_B11T` bool: True where a word piece is, ready for attention (a
        mask of two dimensions would be checked for padding in every forward pass, which waits for
        a GPU); None where nothing is padded.
    """
    starts_B, lengths_B = split.token_offsets[docs_B], split.lengths[docs_B]
    columns_T = np.arange(int(_width(lengths_B.max(), max_width)))
    real_BT = columns_T < lengths_B[:, None]
    source_BT = np.where(real_BT, starts_B[:, None] + columns_T, 0)
    ids_BT = np.where(real_BT, split.token_ids[source_BT], pad_id).astype(np.int64)
    mask_BT = None if real_BT.all() else upload(real_BT, device)
    return (
        upload(ids_BT, device),
        None if mask_BT is None else mask_BT[:, None, None, :],
    )


def dense_targets(
    split: EncodedSplit, docs_B: Indices, num_labels: int, device: torch.device
) -> Tensor:
    """The labels of some documents: [B, L] bool."""
    first_B = split.label_offsets[docs_B]
    counts_B = split.label_offsets[docs_B + 1] - first_B
    row_P = np.repeat(np.arange(len(docs_B)), counts_B)
    # the p-th pair of the batch, counted from its document's first
    within_P = np.arange(len(row_P)) - np.repeat(np.cumsum(counts_B) - counts_B, counts_B)
    label_P = split.label_ids[first_B[row_P] + within_P]
    targets_BL = np.zeros((len(docs_B), num_labels), dtype=np.bool_)
    targets_BL[row_P, label_P] = True
    return upload(targets_BL, device)


def _width(lengths: npt.NDArray[np.int64], max_width: int) -> npt.NDArray[np.int64]:
    rounded = -(-lengths // _WIDTH_MULTIPLE) * _WIDTH_MULTIPLE
    return np.maximum(lengths, np.minimum(rounded, max_width))
