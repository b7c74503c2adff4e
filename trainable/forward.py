"""From documents to logits: slices, layout, precision. One path for training and evaluation.

Two layouts, the same logits: `packed` without padding (CPU), and padded slices of like length
through Hugging Face's own forward pass (GPU).

Shapes: B documents, L labels, T word pieces.
"""

import dataclasses
from typing import Final

import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from trainable.batching import Indices, cut_packed, cut_slices, dense_targets, padded_tokens
from trainable.encoded import EncodedSplit
from trainable.model import classify
from trainable.packed import MaskDropout, classify_packed
from trainable.packing import pack

# of one forward pass, in word pieces: its largest size, and what a pass of any size costs besides
# (on a CPU anything from 16 to 256 trains as fast; for a GPU, an estimate of its launches)
_MAX_TOKENS: Final = {"cpu": 8192, "cuda": 16384}
_OVERHEAD_TOKENS: Final = {"cpu": 64, "cuda": 4096}


@dataclasses.dataclass(kw_only=True, slots=True)
class Forward:
    """Computes logits of encoded documents with a model, wherever that is."""

    model: BertForSequenceClassification
    precision: str
    """`bf16` or `fp32`."""
    pad_id: int
    packed: bool
    """The layout."""
    dropout: MaskDropout = dataclasses.field(default_factory=lambda: MaskDropout(0))
    """Of the packed layout; the padded one draws from torch's generators."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def seed_dropout(self, seed: int) -> None:
        """Start the packed layout's stream of dropout masks anew."""
        self.dropout = MaskDropout(seed)

    def autocast(self) -> torch.autocast:
        """To be entered around all slices of a batch: weights are cast once."""
        enabled = self.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def slices(self, split: EncodedSplit, docs_B: Indices) -> list[Indices]:
        """Positions in `docs_B`, grouped to documents of like length; each exactly once."""
        if self.packed:
            return cut_packed(split.lengths[docs_B], max_tokens=_MAX_TOKENS[self.device.type])
        return cut_slices(
            split.lengths[docs_B],
            max_width=self.model.config.max_position_embeddings,
            max_tokens=_MAX_TOKENS[self.device.type],
            overhead_tokens=_OVERHEAD_TOKENS[self.device.type],
        )

    def logits(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Logits [B, L] float32 of one slice, in one pass; within `autocast`."""
        if self.packed:
            return classify_packed(self.model, pack(split, docs_B), self.dropout)
        ids_BT, mask_B11T = padded_tokens(
            split,
            docs_B,
            pad_id=self.pad_id,
            max_width=self.model.config.max_position_embeddings,
            device=self.device,
        )
        return classify(self.model, ids_BT, mask_B11T)

    def targets(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Targets [B, L] bool."""
        return dense_targets(split, docs_B, self.model.config.num_labels, self.device)

    @torch.no_grad()
    def inference(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Logits [B, L] float32 of any number of documents, in the order of `docs_B`."""
        self.model.eval()
        logits_BL = torch.empty(len(docs_B), self.model.config.num_labels, device=self.device)
        with self.autocast():
            for positions in self.slices(split, docs_B):
                rows = torch.from_numpy(positions).to(self.device)
                logits_BL[rows] = self.logits(split, docs_B[positions])
        return logits_BL
