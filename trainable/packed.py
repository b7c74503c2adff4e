"""The forward pass of a Hugging Face BERT over packed documents, on a CPU or a GPU.

The weights stay those of `BertForSequenceClassification`; only the order of computation differs
from its `forward`, so `save_pretrained` and every other use of the model stay as they are.

- No padding outside attention (`packing`), and none in it on a GPU (`attention`).
- The last layer computes queries, attention output and feed-forward for [CLS] alone: nothing else
  of it is read. Exact; a sixth of MiniLM's work.
- On a CPU dropout masks come from 16-bit integers of a fast generator: torch's `bernoulli_` runs
  on one thread and was 12 % of a step.

Shapes: B documents, T word pieces, H hidden, L labels; X several times H.
"""

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import BertForSequenceClassification, BertModel
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer

from trainable.attention import Attention, Dropout, GroupedAttention
from trainable.packing import PackedBatch, PackedTokens

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
        # straight into the dtype of x: by way of bool it takes five times as long
        keep = torch.empty(x.shape, dtype=x.dtype)
        torch.ge(level, round(p * _LEVELS) - _LEVELS // 2, out=keep)
        return x * keep.mul_(1 / (1 - p))


def classify_packed(
    model: BertForSequenceClassification,
    tokens: PackedTokens,
    attention: Attention,
    dropout: Dropout,
) -> Tensor:
    """Logits [B, L] float32 of the documents of `tokens`, in their order.

    Dropout acts in training mode only, with the probabilities of the model's config.

    Args:
        model: its weights and config; on the device of `tokens`.
        tokens: the documents.
        attention: over these documents.
        dropout: of hidden states.
    """
    config = model.config
    hidden_p = config.hidden_dropout_prob if model.training else 0.0
    attention_p = config.attention_probs_dropout_prob if model.training else 0.0
    pass_ = _Pass(attention, dropout, hidden_p, attention_p)
    hidden_TH = dropout(_embed(model.bert.embeddings, tokens), hidden_p)
    *layers, last = model.bert.encoder.layer
    for layer in layers:
        hidden_TH = pass_.layer(layer, hidden_TH)
    pooled_BH = model.bert.pooler.activation(
        model.bert.pooler.dense(pass_.last_layer(last, hidden_TH, tokens.first_B))
    )
    with torch.autocast(pooled_BH.device.type, enabled=False):  # see model.classify
        return model.classifier(dropout(pooled_BH.float(), hidden_p))


def encode_packed(bert: BertModel, batch: PackedBatch) -> Tensor:
    """Hidden states [T, H] of the last layer, of every word piece and without dropout."""
    dropout = MaskDropout(0)
    attention = GroupedAttention(batch.groups, bert.config.num_attention_heads, dropout)
    pass_ = _Pass(attention, dropout, 0.0, 0.0)
    hidden_TH = _embed(bert.embeddings, batch)
    for layer in bert.encoder.layer:
        hidden_TH = pass_.layer(layer, hidden_TH)
    return hidden_TH


def _embed(embeddings: BertEmbeddings, tokens: PackedTokens) -> Tensor:
    return embeddings.LayerNorm(
        embeddings.word_embeddings(tokens.token_ids_T)
        + embeddings.position_embeddings(tokens.position_ids_T)
        + embeddings.token_type_embeddings.weight[0]
    )


class _Pass:
    """What all layers of one forward pass share."""

    def __init__(
        self, attention: Attention, dropout: Dropout, hidden_p: float, attention_p: float
    ) -> None:
        self.attention, self.dropout = attention, dropout
        self.hidden_p, self.attention_p = hidden_p, attention_p

    def layer(self, layer: BertLayer, hidden_TH: Tensor) -> Tensor:
        own = layer.attention.self
        qkv_TX = _linear(hidden_TH, own.query, own.key, own.value)
        context_TH = self.attention.tokens(qkv_TX, self.attention_p)
        return self._after_attention(layer, context_TH, hidden_TH)

    def last_layer(self, layer: BertLayer, hidden_TH: Tensor, first_B: Tensor) -> Tensor:
        own = layer.attention.self
        first_BH = hidden_TH.index_select(0, first_B)
        kv_TX = _linear(hidden_TH, own.key, own.value)
        context_BH = self.attention.first(own.query(first_BH), kv_TX, self.attention_p)
        return self._after_attention(layer, context_BH, first_BH)

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
