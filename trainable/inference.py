"""Texts to labels with a trained model: the forward pass of validation, so the same numbers.

Shapes: N documents, B of a chunk, L labels.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainable.batching import Indices
from trainable.choice import AS_TRAINED, Choice
from trainable.device import (
    cpu_threads,
    memory_errors,
    pick_device,
    resolve_precision,
    return_free_memory,
)
from trainable.encoded import EncodedSplit
from trainable.errors import UserError
from trainable.extractor import Extractor, feature_slices
from trainable.forward import Forward
from trainable.head_model import HeadModel
from trainable.saved_model import SavedModel
from trainable.tokenization import TextReader

_CHUNK_DOCS: Final = 1024
_CHUNK_ELEMENTS: Final = 2**24
"""Of [B, L], whatever the number of labels."""
_MOST_THREADS: Final = 16

Probs = npt.NDArray[np.float32]
Scored = tuple[str, float]
"""A label and its probability."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Predictor:
    """A model that is ready to answer."""

    label_names: tuple[str, ...]
    thresholds_L: Probs
    """In (0, 1)."""
    _read: TextReader
    _logits: Callable[[EncodedSplit], Tensor]
    """[B, L] float32 of a few documents."""

    @classmethod
    def load(cls, folder: str | Path, *, device: torch.device | None = None) -> Self:
        """Read a model folder; runs and unpickles nothing of it (`trainable.saved_model`).

        Args:
            folder: of `python -m trainable BEST.YAML --out MODEL`.
            device: None: a GPU if there is one.

        Raises:
            UsageError: it cannot be used.
        """
        saved = SavedModel.load(folder)
        device = device or pick_device()
        return cls(
            label_names=saved.label_names,
            thresholds_L=np.asarray(saved.thresholds, dtype=np.float32),
            _read=saved.reader,
            _logits=_forward_of(saved, device),
        )

    @property
    def chunk_docs(self) -> int:
        """B: so many documents are best given at once."""
        return max(1, min(_CHUNK_DOCS, _CHUNK_ELEMENTS // len(self.label_names)))

    def probabilities(self, texts: Sequence[str]) -> Probs:
        """Probabilities [N, L] of texts in their order; memory beside them is that of one chunk.

        Texts are cut at the length that the model was trained with. An empty one is [CLS] [SEP].

        Raises:
            UserError: memory ran out, or the weights give numbers that are not finite.
        """
        probs_NL = np.empty((len(texts), len(self.label_names)), np.float32)
        with memory_errors("close other programs, or use a larger machine or GPU"):
            for start in range(0, len(texts), self.chunk_docs):
                chunk = texts[start : start + self.chunk_docs]
                probs_NL[start : start + len(chunk)] = self._chunk(chunk)
        return probs_NL

    def labels(self, probs_NL: Probs, choice: Choice = AS_TRAINED) -> list[list[Scored]]:
        """The chosen labels of each document, the most probable first; of equals in their order."""
        own = choice.threshold is None
        limits_L = self.thresholds_L if own else np.float32(choice.threshold)
        found = []
        for probs_L in probs_NL:
            order_L = np.argsort(-probs_L, kind="stable")
            above_L = (probs_L >= limits_L)[order_L]
            chosen = order_L[: choice.top] if choice.top else order_L[above_L]
            found.append([(self.label_names[label], shortest(probs_L[label])) for label in chosen])
        return found

    @torch.no_grad()
    def _chunk(self, texts: Sequence[str]) -> Probs:
        token_ids, token_offsets = self._read(texts)
        split = EncodedSplit(
            token_ids=token_ids,
            token_offsets=token_offsets,
            label_ids=np.empty(0, np.int32),
            label_offsets=np.zeros(len(texts) + 1, np.int64),
        )
        probs_BL = torch.sigmoid(self._logits(split)).cpu()
        return_free_memory()  # else a file of many chunks fragments the heap
        if not torch.isfinite(probs_BL).all():
            raise UserError("the model's weights give numbers that are not finite: train it again")
        return probs_BL.numpy()


def shortest(value: np.float32) -> float:
    """The number with the fewest digits that is `value` in float32.

    >>> float(np.float32(0.1)), shortest(np.float32(0.1))
    (0.10000000149011612, 0.1)
    """
    return float(str(value))


def _forward_of(saved: SavedModel, device: torch.device) -> Callable[[EncodedSplit], Tensor]:
    precision = resolve_precision(saved.precision, device)
    model = saved.model.to(device)
    pad_id = saved.reader.pad_id
    if isinstance(model, HeadModel):
        return over_threads(_HeadForward(model, precision, pad_id), device)
    forward = Forward.of(model, precision=precision, pad_id=pad_id)
    return over_threads(lambda split: forward.inference(split, np.arange(len(split))), device)


def over_threads(
    logits: Callable[[EncodedSplit], Tensor], device: torch.device
) -> Callable[[EncodedSplit], Tensor]:
    """`logits`, on a CPU in slices of like length with a thread on each core.

    Twice as fast on two cores as torch's own threads, which wait for each other in every small
    product; the same numbers on any number of cores (docs/LOG.md, 2026-11-25).
    """
    count = min(len(os.sched_getaffinity(0)), _MOST_THREADS)

    def sliced(split: EncodedSplit) -> Tensor:
        slices = feature_slices(split, device)[
            ::-1
        ]  # the slow ones first: no core waits at the end

        def one(docs: Indices) -> Tensor:
            with torch.no_grad():  # which a thread does not inherit
                return logits(split.take(docs))

        if device.type != "cpu" or min(count, len(slices)) < 2:
            parts = [one(docs) for docs in slices]
        else:
            with cpu_threads(1), ThreadPoolExecutor(count, "", torch.set_num_threads, (1,)) as pool:
                parts = list(pool.map(one, slices))
        order = torch.from_numpy(np.argsort(np.concatenate(slices)))
        return torch.cat(parts)[order.to(device)]

    return sliced


class _HeadForward:
    """Features as `trainable.features` computes them, then the head, in float32."""

    def __init__(self, model: HeadModel, precision: str, pad_id: int) -> None:
        self._model = model
        self._extract = Extractor(model.bert, precision=precision, pad_id=pad_id)

    def __call__(self, split: EncodedSplit) -> Tensor:
        features_BF = torch.from_numpy(self._extract(split))
        return self._model.head(features_BF.to(self._model.device))
