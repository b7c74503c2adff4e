"""The loops that the engine is compared with: our own code, after the descriptions.

The same step as the engine's: a batch of 32, AdamW; binary cross-entropy.

    notebook   the released notebook's: float32, tokenises in `__getitem__`, pads to the limit
    hf         as one would write it with transformers: tokenised before, padded to the longest
               document of the batch, autocast where it is native, fused AdamW

Shapes: B documents, T word pieces, L labels.
"""

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset
from transformers import AutoTokenizer, BertForSequenceClassification
from transformers.utils import logging as transformers_logging

from benchmarks.flops import wait_for
from trainable.batching import dense_targets
from trainable.device import pick_device, resolve_precision
from trainable.encoded import EncodedSplit
from trainable.encoders import resolve_encoder

Item = dict[str, Tensor]
BATCH: Final = 32
LEARNING_RATE: Final = 1e-4


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LoopJob:
    """What a loop trains on."""

    kind: str
    """`notebook` or `hf`."""
    encoder: str
    texts: Sequence[str]
    split: EncodedSplit
    """The same documents, as word pieces."""
    num_labels: int
    max_length: int
    batch_size: int = BATCH
    parts: int = 1
    """Into which a batch is cut where memory is short; their gradients add up to the same step."""


class ReferenceLoop:
    """Trains without end, in rounds; `job.kind` says how."""

    def __init__(self, job: LoopJob) -> None:
        self._device, self._parts = pick_device(), job.parts
        self._batches = _endless(make_loader(job))
        precision = resolve_precision("auto", self._device) if job.kind == "hf" else "fp32"
        self._autocast = precision == "bf16"
        torch.manual_seed(0)
        self.model = load_model(job.encoder, job.num_labels).to(self._device).train()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=LEARNING_RATE, fused=job.kind == "hf"
        )

    def warm_up(self, docs: int) -> None:
        """One step that nobody times, on at most `docs` documents."""
        batch = next(self._batches)
        self.step({name: tensor[:docs] for name, tensor in batch.items()})
        wait_for(self._device)

    def round(self, batches: int) -> tuple[int, float]:
        """Train on so many batches, making them included: documents and seconds."""
        docs, started = 0, time.perf_counter()
        for _ in range(batches):
            batch = next(self._batches)
            self.step(batch)
            docs += len(batch["labels"])
        wait_for(self._device)
        return docs, time.perf_counter() - started

    def step(self, batch: Item) -> Tensor:
        """One step of the optimiser; its loss, on the device."""
        self.optimizer.zero_grad()
        total = torch.zeros((), device=self._device)
        docs = len(batch["labels"])
        for positions in torch.arange(docs).chunk(self._parts):
            inputs = {name: tensor[positions].to(self._device) for name, tensor in batch.items()}
            targets_BL = inputs.pop("labels")
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._autocast):
                logits_BL = self.model(**inputs).logits
            loss = binary_cross_entropy_with_logits(logits_BL.float(), targets_BL)
            loss = loss * (len(positions) / docs)
            loss.backward()
            total += loss.detach()
        self.optimizer.step()
        return total


def parts_that_fit(config: Any, max_length: int, memory_bytes: float) -> int:
    """Into how many parts a batch of `BATCH` documents must be cut to be trained on in float32.

    Counts what a layer keeps for the backward pass: per head scores after softmax, dropped and
    their mask, and some tensors of either width (measured with MiniLM: 0.34 GiB a document).
    """
    squares = config.num_attention_heads * max_length * max_length * 9
    rows = max_length * (14 * config.hidden_size + 3 * config.intermediate_size) * 4
    document = 1.25 * config.num_hidden_layers * (squares + rows)
    weights = 2**30 + 40 * config.num_hidden_layers * config.hidden_size * config.intermediate_size
    docs = max(1.0, (memory_bytes - weights) / document)
    return math.ceil(BATCH / docs)


def load_model(encoder: str, num_labels: int) -> BertForSequenceClassification:
    """Transformers' own model, with all its defaults but the number of labels and float32."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    return BertForSequenceClassification.from_pretrained(
        resolve_encoder(encoder),
        num_labels=num_labels,
        local_files_only=True,
        dtype=torch.float32,
    )


def make_loader(job: LoopJob) -> "DataLoader[Item]":
    """Shuffled batches of `input_ids`, `attention_mask` [B, T] and `labels` [B, L] float32."""
    shuffled: dict[str, Any] = {
        "batch_size": job.batch_size,
        "shuffle": True,
        "num_workers": 0,
        "generator": torch.Generator().manual_seed(0),
    }
    targets_NL = dense_targets(
        job.split, torch.arange(len(job.split)).numpy(), job.num_labels, torch.device("cpu")
    ).float()
    folder = resolve_encoder(job.encoder)
    if job.kind == "notebook":
        return DataLoader(_Texts(job.texts, targets_NL, folder, job.max_length), **shuffled)
    return DataLoader(_Tokenised(job.split, targets_NL), collate_fn=_padded, **shuffled)


class _Texts(Dataset[Item]):
    """Tokenises a document whenever it is asked for."""

    def __init__(
        self, texts: Sequence[str], targets_NL: Tensor, folder: Path, max_length: int
    ) -> None:
        self._texts, self._targets_NL, self._max_length = texts, targets_NL, max_length
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, doc: int) -> Item:
        encoded = self._tokenizer(
            self._texts[doc],
            max_length=self._max_length,
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )
        return {
            "input_ids": encoded["input_ids"][0],
            "attention_mask": encoded["attention_mask"][0],
            "labels": self._targets_NL[doc],
        }


class _Tokenised(Dataset[Item]):
    def __init__(self, split: EncodedSplit, targets_NL: Tensor) -> None:
        self._split, self._targets_NL = split, targets_NL

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, doc: int) -> Item:
        low, high = self._split.token_offsets[doc : doc + 2]
        ids_T = torch.from_numpy(self._split.token_ids[low:high].astype("int64"))
        return {"input_ids": ids_T, "labels": self._targets_NL[doc]}


def _padded(items: Sequence[Item]) -> Item:
    """Pad to the longest document; the padding's id does not matter, it is masked."""
    ids = [item["input_ids"] for item in items]
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad(ids, batch_first=True),
        "attention_mask": pad([torch.ones_like(ids_T) for ids_T in ids], batch_first=True),
        "labels": torch.stack([item["labels"] for item in items]),
    }


def _endless(loader: "DataLoader[Item]") -> Iterator[Item]:
    while True:
        yield from loader
