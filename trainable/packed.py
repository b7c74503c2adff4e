"""The forward pass of a Hugging Face BERT over packed documents, on a CPU.

The weights stay those of `BertForSequenceClassification`; only the order of computation differs
from its `forward`, so `save_pretrained` and every other use of the model stay as they are.

- No padding outside attention (`packing`).
- The last layer computes queries, attention output and feed-forward for [CLS] alone: nothing else
  of it is read. Exact; a sixth of MiniLM's work.
- Attention is two batched matrix products over groups of like length. torch's fused CPU kernel has
  no dropout, and its backward pass was 39 % of a step.
- Dropout masks come from 16-bit integers of a fast generator: torch's `bernoulli_` runs on one
  thread and was 12 % of a step.

Shapes: B documents, T word pieces, H hidden, L labels; n documents of a group, W its width, h
heads.
"""

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import BertForSequenceClassification, BertModel
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer

from trainable.packing import AttentionGroup, PackedBatch

_LEVELS: Final = 2**16


class MaskDropout:
    """Inverted dropout with masks from SFC64; P(drop) is exact to 1/65536.

    Its stream depends on its seed alone, not on torch's generators.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.SFC64(seed))

    def __call__(self, x: Tensor, p: float) -> Tensor:
        """`x` with each element zeroed with probability `p`, else divided by 1 - p."""
        if p == 0.0:
            return x
        size = x.numel()
        words = self._generator.integers(0, 2**64, size=-(-size // 4), dtype=np.uint64)
        level = torch.from_numpy(words.view(np.int16)[:size]).view(x.shape)
        keep = (level >= round(p * _LEVELS) - _LEVELS // 2).to(x.dtype)
        return x * keep.mul_(1 / (1 - p))


def classify_packed(
    model: BertForSequenceClassification, batch: PackedBatch, dropout: MaskDropout
) -> Tensor:
    """Logits [B, L] float32 of the documents of `batch`, in its order.

    Dropout acts in training mode only, with the probabilities of the model's config.
    """
    config, embeddings = model.config, model.bert.embeddings
    hidden_p = config.hidden_dropout_prob if model.training else 0.0
    attention_p = config.attention_probs_dropout_prob if model.training else 0.0
    pass_ = _Pass(batch, dropout, hidden_p, attention_p, config.num_attention_heads)
    hidden_TH = dropout(_embed(embeddings, batch), hidden_p)
    *layers, last = model.bert.encoder.layer
    for layer in layers:
        hidden_TH = pass_.layer(layer, hidden_TH)
    pooled_BH = model.bert.pooler.activation(
        model.bert.pooler.dense(pass_.last_layer(last, hidden_TH))
    )
    with torch.autocast("cpu", enabled=False):  # see model.classify
        return model.classifier(dropout(pooled_BH.float(), hidden_p))


def encode_packed(bert: BertModel, batch: PackedBatch) -> Tensor:
    """Hidden states [T, H] of the last layer, of every word piece and without dropout."""
    pass_ = _Pass(batch, MaskDropout(0), 0.0, 0.0, bert.config.num_attention_heads)
    hidden_TH = _embed(bert.embeddings, batch)
    for layer in bert.encoder.layer:
        hidden_TH = pass_.layer(layer, hidden_TH)
    return hidden_TH


def _embed(embeddings: BertEmbeddings, batch: PackedBatch) -> Tensor:
    return embeddings.LayerNorm(
        embeddings.word_embeddings(batch.token_ids_T)
        + embeddings.position_embeddings(batch.position_ids_T)
        + embeddings.token_type_embeddings.weight[0]
    )


class _Pass:
    """What all layers of one forward pass share."""

    def __init__(
        self,
        batch: PackedBatch,
        dropout: MaskDropout,
        hidden_p: float,
        attention_p: float,
        num_heads: int,
    ) -> None:
        self.groups = batch.groups
        self.first_B = batch.first_B
        self.tokens = [group.num_tokens for group in batch.groups]
        self.docs = [group.num_docs for group in batch.groups]
        self.dropout = dropout
        self.hidden_p, self.attention_p, self.num_heads = hidden_p, attention_p, num_heads

    def layer(self, layer: BertLayer, hidden_TH: Tensor) -> Tensor:
        own = layer.attention.self
        qkv = _linear(hidden_TH, own.query, own.key, own.value).split(self.tokens)
        context = [self._own_tokens(group, x) for group, x in zip(self.groups, qkv, strict=True)]
        return self._after_attention(layer, torch.cat(context), hidden_TH)

    def last_layer(self, layer: BertLayer, hidden_TH: Tensor) -> Tensor:
        own = layer.attention.self
        first_BH = hidden_TH.index_select(0, self.first_B)
        queries = own.query(first_BH).split(self.docs)
        kv = _linear(hidden_TH, own.key, own.value).split(self.tokens)
        context = [
            self._first_tokens(group, query, x)
            for group, query, x in zip(self.groups, queries, kv, strict=True)
        ]
        return self._after_attention(layer, torch.cat(context), first_BH)

    def _own_tokens(self, group: AttentionGroup, qkv: Tensor) -> Tensor:
        query, key, value = self._by_head(group, qkv, parts=3)
        context = self._attend(group, query, key, value)
        context = context.view(group.num_docs, self.num_heads, group.width, -1).transpose(1, 2)
        context = context.reshape(group.num_docs * group.width, -1)
        return context if group.real is None else context.index_select(0, group.real)

    def _first_tokens(self, group: AttentionGroup, query_nH: Tensor, kv: Tensor) -> Tensor:
        key, value = self._by_head(group, kv, parts=2)
        query = query_nH.reshape(group.num_docs * self.num_heads, 1, -1)
        return self._attend(group, query, key, value).view(group.num_docs, -1)

    def _by_head(self, group: AttentionGroup, x: Tensor, *, parts: int) -> tuple[Tensor, ...]:
        """`parts` tensors [n * h, W, H / h] from [num_tokens, parts * H]."""
        if group.gather is not None:
            x = x.index_select(0, group.gather)
        x = x.view(group.num_docs, group.width, parts, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        return x.reshape(parts, group.num_docs * self.num_heads, group.width, -1).unbind(0)

    def _attend(self, group: AttentionGroup, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scale = query.shape[-1] ** -0.5
        if group.key_bias is None:
            scores = torch.bmm(query * scale, key.transpose(1, 2))
        else:
            bias = group.key_bias.to(query.dtype).repeat_interleave(self.num_heads, dim=0)
            scores = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scale)
        probs = torch.softmax(scores, -1, dtype=query.dtype)
        return torch.bmm(self.dropout(probs, self.attention_p), value)

    def _after_attention(self, layer: BertLayer, context: Tensor, residual: Tensor) -> Tensor:
        output = layer.attention.output
        hidden = output.LayerNorm(self.dropout(output.dense(context), self.hidden_p) + residual)
        inner = layer.intermediate.intermediate_act_fn(layer.intermediate.dense(hidden))
        return layer.output.LayerNorm(
            self.dropout(layer.output.dense(inner), self.hidden_p) + hidden
        )


def _linear(x: Tensor, *layers: nn.Linear) -> Tensor:
    """Several linear layers as one matrix product."""
    weight = torch.cat([layer.weight for layer in layers])
    return F.linear(x, weight, torch.cat([layer.bias for layer in layers]))
