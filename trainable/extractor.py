"""What a frozen encoder says of documents: their features.

The features of a document are the last hidden state of [CLS] and the mean over its word pieces,
side by side, without dropout (`head_layers.pool` is the same over a padded batch).

Shapes: B documents of one pass, T word pieces, H hidden, F = 2 H features.
"""

from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import BertModel

from trainable.batching import Indices, cut_packed, padded_tokens
from trainable.encoded import EncodedSplit
from trainable.head_layers import pool
from trainable.model import PristineWeights, build_bert
from trainable.packed import encode_packed
from trainable.packing import pack

_MAX_TOKENS: Final = {"cpu": 8192, "cuda": 65536}
"""Of one pass, in word pieces."""


def feature_slices(split: EncodedSplit, device: torch.device) -> list[Indices]:
    """The documents of one pass each, of like length; from short to long, as are the passes."""
    return cut_packed(split.lengths, max_tokens=_MAX_TOKENS[device.type])


class Extractor:
    """An encoder that computes features where it is.

    Args:
        bert: without a pooler, in evaluation mode.
        precision: `bf16` or `fp32`.
        pad_id: word piece that pads (on a GPU).
    """

    def __init__(self, bert: BertModel, *, precision: str, pad_id: int) -> None:
        self._bert, self._device, self._pad_id = bert, bert.device, pad_id
        self._autocast = torch.autocast(
            bert.device.type, torch.bfloat16, enabled=precision == "bf16"
        )

    @classmethod
    def load(cls, encoder: str, *, device: torch.device, precision: str, pad_id: int) -> Self:
        """Of an encoder as published; its name or folder as for `resolve_encoder`.

        Raises:
            UsageError: the encoder cannot be read.
        """
        bert = build_bert(PristineWeights.load(encoder), device)
        return cls(bert, precision=precision, pad_id=pad_id)

    @torch.no_grad()
    def __call__(self, split: EncodedSplit) -> npt.NDArray[np.float32]:
        """Features [B, F] of a few documents, which come from short to long."""
        with self._autocast:
            features_BF = self._packed(split) if self._device.type == "cpu" else self._padded(split)
        return features_BF.cpu().numpy()

    def _packed(self, split: EncodedSplit) -> Tensor:
        batch = pack(split, np.arange(len(split)))
        hidden_TH = encode_packed(self._bert, batch).float()
        counts_B = torch.from_numpy(split.lengths)
        doc_T = torch.repeat_interleave(torch.arange(len(split)), counts_B)
        sum_BH = hidden_TH.new_zeros(len(split), hidden_TH.shape[1])
        sum_BH.index_add_(0, doc_T, hidden_TH)
        return torch.cat([hidden_TH[batch.first_B], sum_BH / counts_B[:, None]], dim=1)

    def _padded(self, split: EncodedSplit) -> Tensor:
        ids_BT, mask_B11T = padded_tokens(
            split,
            np.arange(len(split)),
            pad_id=self._pad_id,
            max_width=self._bert.config.max_position_embeddings,
            device=self._device,
        )
        hidden_BTH = self._bert(input_ids=ids_BT, attention_mask=mask_B11T).last_hidden_state
        mask_BT = torch.ones_like(ids_BT) if mask_B11T is None else mask_B11T[:, 0, 0]
        return pool(hidden_BTH, mask_BT)
