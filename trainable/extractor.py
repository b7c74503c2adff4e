"""What a frozen encoder says of documents: their features.

The features of a document are the last hidden state of [CLS] and the mean over its word pieces,
side by side, without dropout (`head_layers.pool` is the same over a padded batch).

Shapes: B documents of one pass, T word pieces, H hidden, F = 2 H features.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainable.batching import padded_tokens
from trainable.encoded import EncodedSplit
from trainable.head_layers import pool
from trainable.model import PristineWeights, build_bert
from trainable.packed import encode_packed
from trainable.packing import pack


class Extractor:
    """An encoder on a device.

    Args:
        encoder: a name or folder, as for `resolve_encoder`.
        device: where to compute.
        precision: `bf16` or `fp32`.
        pad_id: word piece that pads (on a GPU).

    Raises:
        UsageError: the encoder cannot be read.
    """

    def __init__(self, encoder: str, *, device: torch.device, precision: str, pad_id: int) -> None:
        self._bert = build_bert(PristineWeights.load(encoder), device)
        self._device, self._pad_id = device, pad_id
        self._autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")

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
