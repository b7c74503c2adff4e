"""Attention over packed documents: the one part of a packed forward pass that a device decides.

- `GroupedAttention` (CPU): two batched matrix products over groups of like length. torch's fused
  CPU kernel has no dropout, and its backward pass was 39 % of a step.
- `VarlenAttention` (CUDA): one call of FlashAttention-2 for all documents of any length, with
  dropout, through the operator below torch's nested tensors (`torch.nn.attention.varlen` has none).

Shapes: B documents, T word pieces, h heads, d = H / h; n documents of a group, W its width.
"""

import functools
import logging
from collections.abc import Callable
from typing import Final, Protocol

import torch
from torch import Tensor
from transformers import BertConfig

from trainable.packing import AttentionGroup

Dropout = Callable[[Tensor, float], Tensor]
"""`(x, p)`: inverted dropout."""

VarlenOp = Callable[..., tuple[Tensor, ...]]
"""Of the signature of `FLASH_ATTENTION`."""

FLASH_ATTENTION: Final[VarlenOp] = torch.ops.aten._flash_attention_forward

_FLASH_MULTIPLE: Final = 8
_FLASH_MAX: Final = 192
_FLASH_CAPABILITY: Final = (8, 0)


class Attention(Protocol):
    """Softmax attention within each document, with dropout of its probabilities."""

    def tokens(self, qkv_TX: Tensor, p: float) -> Tensor:
        """Context [T, H] of every word piece, from queries, keys and values [T, 3 * H]."""

    def first(self, query_BH: Tensor, kv_TX: Tensor, p: float) -> Tensor:
        """Context [B, H] of each [CLS], from its query, and keys and values [T, 2 * H]."""


class GroupedAttention:
    """By groups of like length, each a rectangle: exact, two batched products a group.

    Args:
        groups: of the packed batch, in its order.
        num_heads: h.
        dropout: of attention probabilities.
    """

    def __init__(
        self, groups: tuple[AttentionGroup, ...], num_heads: int, dropout: Dropout
    ) -> None:
        self._groups, self._num_heads, self._dropout = groups, num_heads, dropout
        self._tokens = [group.num_tokens for group in groups]
        self._docs = [group.num_docs for group in groups]

    def tokens(self, qkv_TX: Tensor, p: float) -> Tensor:
        """See `Attention`."""
        parts = zip(self._groups, qkv_TX.split(self._tokens), strict=True)
        return torch.cat([self._group_tokens(group, qkv, p) for group, qkv in parts])

    def first(self, query_BH: Tensor, kv_TX: Tensor, p: float) -> Tensor:
        """See `Attention`."""
        queries, kv = query_BH.split(self._docs), kv_TX.split(self._tokens)
        parts = zip(self._groups, queries, kv, strict=True)
        return torch.cat([self._group_first(group, query, x, p) for group, query, x in parts])

    def _group_tokens(self, group: AttentionGroup, qkv: Tensor, p: float) -> Tensor:
        query, key, value = self._by_head(group, qkv, parts=3)
        context = self._attend(group, query, key, value, p)
        context = context.view(group.num_docs, self._num_heads, group.width, -1).transpose(1, 2)
        context = context.reshape(group.num_docs * group.width, -1)
        return context if group.real is None else context.index_select(0, group.real)

    def _group_first(self, group: AttentionGroup, query_nH: Tensor, kv: Tensor, p: float) -> Tensor:
        key, value = self._by_head(group, kv, parts=2)
        query = query_nH.reshape(group.num_docs * self._num_heads, 1, -1)
        return self._attend(group, query, key, value, p).view(group.num_docs, -1)

    def _by_head(self, group: AttentionGroup, x: Tensor, *, parts: int) -> tuple[Tensor, ...]:
        """`parts` tensors [n * h, W, d] from [num_tokens, parts * H]."""
        if group.gather is not None:
            x = x.index_select(0, group.gather)
        x = x.view(group.num_docs, group.width, parts, self._num_heads, -1).permute(2, 0, 3, 1, 4)
        return x.reshape(parts, group.num_docs * self._num_heads, group.width, -1).unbind(0)

    def _attend(
        self, group: AttentionGroup, query: Tensor, key: Tensor, value: Tensor, p: float
    ) -> Tensor:
        scale = query.shape[-1] ** -0.5
        if group.key_bias is None:
            scores = torch.bmm(query * scale, key.transpose(1, 2))
        else:
            bias = group.key_bias.to(query.dtype).repeat_interleave(self._num_heads, dim=0)
            scores = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scale)
        probs = torch.softmax(scores, -1, dtype=query.dtype)
        return torch.bmm(self._dropout(probs, p), value)


class VarlenAttention:
    """All documents in one call.

    Args:
        cu_seqlens: [B + 1] int32, where documents begin, and T.
        max_length: at least the longest document. A constant: the kernel's surplus blocks end at
            once, and nothing waits for the device. A word piece beyond it would stay unwritten.
        num_heads: h.
        op: what computes it.
    """

    def __init__(
        self,
        cu_seqlens: Tensor,
        max_length: int,
        num_heads: int,
        op: VarlenOp = FLASH_ATTENTION,
    ) -> None:
        self._cu_seqlens, self._max_length, self._num_heads = cu_seqlens, max_length, num_heads
        self._each_first = torch.arange(
            len(cu_seqlens), dtype=torch.int32, device=cu_seqlens.device
        )
        self._op = op

    def tokens(self, qkv_TX: Tensor, p: float) -> Tensor:
        """See `Attention`."""
        query, key, value = self._by_head(qkv_TX, 3).unbind(1)
        return self._attend(query, key, value, self._cu_seqlens, self._max_length, p)

    def first(self, query_BH: Tensor, kv_TX: Tensor, p: float) -> Tensor:
        """See `Attention`."""
        key, value = self._by_head(kv_TX, 2).unbind(1)
        query = self._by_head(query_BH, 1).squeeze(1)
        return self._attend(query, key, value, self._each_first, 1, p)

    def _by_head(self, x: Tensor, parts: int) -> Tensor:
        return x.view(len(x), parts, self._num_heads, -1)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cu_query: Tensor,
        max_query: int,
        p: float,
    ) -> Tensor:
        context, *_ = self._op(
            query,
            key,
            value,
            cu_query,
            self._cu_seqlens,
            max_query,
            self._max_length,
            p,
            False,  # is_causal
            False,  # return_debug_mask
            scale=query.shape[-1] ** -0.5,
        )
        return context.flatten(1)


def flash_problem(config: BertConfig, precision: str, device: torch.device) -> str | None:
    """Why `VarlenAttention` cannot be used on a CUDA device; None if it can."""
    head_dim = config.hidden_size // config.num_attention_heads
    if precision != "bf16":
        return f"flash attention computes in bfloat16, and precision is {precision}"
    if head_dim % _FLASH_MULTIPLE or head_dim > _FLASH_MAX:
        return (
            f"flash attention takes heads of up to {_FLASH_MAX} in multiples of {_FLASH_MULTIPLE}, "
            f"and this encoder's have {head_dim}"
        )
    if torch.version.hip is not None:
        return "flash attention was not tried on AMD GPUs"
    if torch.cuda.get_device_capability(device) < _FLASH_CAPABILITY:
        return "flash attention needs a GPU of compute capability 8.0 or higher"
    return None


@functools.cache
def warn_once(message: str) -> None:
    """Log a warning; the same one only once in a process, however many trials it runs."""
    logging.getLogger(__name__).warning(message)
