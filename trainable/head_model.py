"""A frozen BERT with a small head over its features, as transformers loads it.

Self-contained: a model folder carries a copy of this file (`trust_remote_code=True` runs it).

Shapes: B documents, T word pieces, H hidden, F = 2 H features, L labels.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class Head(nn.Module):
    """From features to logits: dropout and a linear layer, or one hidden layer between two.

    Args:
        num_features: F.
        hidden: units of the hidden layer (GELU); 0: none.
        num_labels: L.
        dropout: probability, of the features and of the hidden layer.
    """

    def __init__(self, num_features: int, hidden: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(num_features, hidden) if hidden else None
        self.classifier = nn.Linear(hidden or num_features, num_labels)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Logits [B, L]."""
        x = self.dropout(features_BF)
        if self.hidden is not None:
            x = self.dropout(nn.functional.gelu(self.hidden(x)))
        return self.classifier(x)


def pool(hidden_BTH: Tensor, mask_BT: Tensor) -> Tensor:
    """Features [B, 2 H] float32: the last hidden state of [CLS], and the mean over real pieces."""
    hidden_BTH = hidden_BTH.float()
    weight_BT1 = mask_BT[:, :, None].float()
    mean_BH = (hidden_BTH * weight_BT1).sum(1) / weight_BT1.sum(1)
    return torch.cat([hidden_BTH[:, 0], mean_BH], dim=1)


class HeadConfig(BertConfig):
    """BERT's, and `head_hidden`; a type of its own, lest it be loaded as an ordinary BERT."""

    model_type = "longtail_head"

    def __init__(self, head_hidden: int = 0, head_dropout: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.head_hidden = head_hidden
        self.head_dropout = head_dropout


class HeadModel(BertPreTrainedModel):
    """BertModel without its pooler, and `Head`."""

    config_class = HeadConfig

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = BertModel(config, add_pooling_layer=False)
        self.head = Head(
            2 * config.hidden_size, config.head_hidden, config.num_labels, config.head_dropout
        )
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Logits [B, L] float32 of token ids [B, T]."""
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        hidden_BTH = self.bert(
            input_ids=input_ids, attention_mask=mask_BT, token_type_ids=token_type_ids
        ).last_hidden_state
        return SequenceClassifierOutput(logits=self.head(pool(hidden_BTH, mask_BT)))
