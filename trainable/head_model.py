"""A frozen BERT with a small head over its features, as transformers loads it.

A model folder carries copies of this file and of `head_layers`: `trust_remote_code=True` runs them.

Shapes: B documents, T word pieces, L labels.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from .head_layers import Head, pool  # relative: a model folder is no package of ours


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
