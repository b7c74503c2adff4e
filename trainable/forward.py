"""From documents to logits: slices, layout, precision. One path for training and evaluation.

Three layouts, the same logits: packed without padding, with attention by groups of like length
(CPU) or by one call of flash attention (CUDA), and padded slices of like length through Hugging
Face's own forward pass (a GPU or a precision that flash attention does not support).

Shapes: B documents, L labels, T word pieces.
"""

import dataclasses
from typing import Final, Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers import BertForSequenceClassification

from trainable.attention import (
    FLASH_ATTENTION,
    GroupedAttention,
    VarlenAttention,
    VarlenOp,
    flash_problem,
    warn_once,
)
from trainable.batching import (
    Indices,
    cut_packed,
    cut_slices,
    dense_targets,
    halve,
    padded_tokens,
)
from trainable.device import upload
from trainable.encoded import EncodedSplit
from trainable.model import classify
from trainable.packed import MaskDropout, classify_packed
from trainable.packing import pack
from trainable.resident import ResidentSplit

# of one forward pass, in word pieces: its largest size, and what a pass of any size costs besides
# (on a CPU anything from 16 to 256 trains as fast; for a GPU, an estimate of its launches)
MAX_TOKENS: Final = {"cpu": 8192, "cuda": 16384}
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
    flash: VarlenOp | None = None
    """The operator of packed attention on a GPU; None: by groups."""
    dropout: MaskDropout = dataclasses.field(default_factory=lambda: MaskDropout(0))
    """Of the packed layout by groups; the others draw from torch's generators."""
    halved: bool = False
    """Slices of half the size, where memory ran out with whole ones."""
    _resident: dict[int, tuple[EncodedSplit, ResidentSplit]] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def of(cls, model: BertForSequenceClassification, *, precision: str, pad_id: int) -> Self:
        """The fastest layout that device and precision allow; says so where it is the padded."""
        flash: VarlenOp | None = None
        if model.device.type == "cuda":
            problem = flash_problem(model.config, precision, model.device)
            if problem is None:
                flash = FLASH_ATTENTION
            else:
                warn_once(f"documents are padded, which is slower: {problem}")
        packed = flash is not None or model.device.type == "cpu"
        return cls(model=model, precision=precision, pad_id=pad_id, packed=packed, flash=flash)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def seed_dropout(self, seed: int) -> None:
        """Start the stream of dropout masks by groups anew."""
        self.dropout = MaskDropout(seed)

    def autocast(self, *, cache: bool = True) -> torch.autocast:
        """To be entered around all slices of a batch: weights are cast once, with `cache`."""
        enabled = self.precision == "bf16"
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=enabled, cache_enabled=cache
        )

    def slices(self, split: EncodedSplit, docs_B: Indices) -> list[Indices]:
        """Positions in `docs_B`, grouped to documents of like length; each exactly once."""
        lengths_B = split.lengths[docs_B]
        if self.packed:
            slices = cut_packed(lengths_B, max_tokens=MAX_TOKENS[self.device.type])
        else:
            slices = cut_slices(
                lengths_B,
                max_width=self.model.config.max_position_embeddings,
                max_tokens=MAX_TOKENS[self.device.type],
                overhead_tokens=_OVERHEAD_TOKENS[self.device.type],
            )
        return halve(slices, lengths_B) if self.halved else slices

    def logits(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Logits [B, L] float32 of one slice, in one pass; within `autocast`."""
        if self.flash is not None:
            num_tokens = int(split.lengths[docs_B].sum()) + 1
            return self.static_logits(split, upload(docs_B, self.device), num_tokens)
        if self.packed:
            batch = pack(split, docs_B)
            heads = self.model.config.num_attention_heads
            attention = GroupedAttention(batch.groups, heads, self.dropout)
            return classify_packed(self.model, batch, attention, self.dropout)
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
        if self.flash is not None:
            return self.static_targets(split, upload(docs_B, self.device))
        return dense_targets(split, docs_B, self.model.config.num_labels, self.device)

    def static_logits(self, split: EncodedSplit, docs_B: Tensor, num_tokens: int) -> Tensor:
        """Logits [B, L] float32 with `flash`, of `num_tokens` word pieces whatever the documents.

        Args:
            split: is copied to the device when it is met first.
            docs_B: int64 on the device.
            num_tokens: see `ResidentSplit.batch`.
        """
        assert self.flash is not None
        batch = self._on_device(split).batch(docs_B, num_tokens)
        heads = self.model.config.num_attention_heads
        attention = VarlenAttention(batch.cu_seqlens, batch.max_length, heads, self.flash)
        return classify_packed(self.model, batch, attention, _dropout)[: len(docs_B)]

    def static_targets(self, split: EncodedSplit, docs_B: Tensor) -> Tensor:
        """Targets [B, L] bool of documents, int64 on the device."""
        return self._on_device(split).targets(docs_B, self.model.config.num_labels)

    @torch.no_grad()
    def inference(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Logits [B, L] float32 of any number of documents, in the order of `docs_B`."""
        self.model.eval()
        logits_BL = torch.empty(len(docs_B), self.model.config.num_labels, device=self.device)
        with self.autocast():
            for positions in self.slices(split, docs_B):
                rows = upload(positions, self.device)
                logits_BL[rows] = self.logits(split, docs_B[positions])
        return logits_BL

    def _on_device(self, split: EncodedSplit) -> ResidentSplit:
        if id(split) not in self._resident:  # the split is kept too, lest its id be given again
            self._resident[id(split)] = split, ResidentSplit.of(split, self.device)
        return self._resident[id(split)][1]


def _dropout(x: Tensor, p: float) -> Tensor:
    return F.dropout(x, p) if p else x
