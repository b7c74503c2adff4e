"""Features of a frozen encoder: computed once, cached on disk, shared by all trials.

The features of a document are the last hidden state of [CLS] and the mean over its word pieces,
side by side, without dropout (`head_model.pool` is the same over a padded batch).

Shapes: N documents, B of one pass, T word pieces, H hidden, F = 2 H features.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import BertModel

from trainable.array_cache import ArrayCache
from trainable.batching import Indices, cut_packed, padded_tokens
from trainable.config import TrialConfig
from trainable.datasets.cache import default_cache_dir
from trainable.datasets.records import SplitName
from trainable.device import pick_device, resolve_precision, return_free_memory
from trainable.encoded import EncodedDataset, EncodedSplit
from trainable.encoders import check_max_length, resolve_encoder
from trainable.head_model import pool
from trainable.model import PristineWeights, build_bert
from trainable.packed import encode_packed
from trainable.packing import pack

_FORMAT: Final = "1"
"""Raise it when the meaning of the cached arrays changes."""
_MAX_TOKENS: Final = {"cpu": 8192, "cuda": 65536}
"""Of one pass, in word pieces."""

OnProgress = Callable[[SplitName, int, int], None]
"""Called with a split, the word pieces done and all of that split's."""


def with_features(
    data: EncodedDataset,
    config: TrialConfig,
    *,
    device: torch.device | None = None,
    cache_dir: Path | None = None,
    on_progress: OnProgress | None = None,
) -> EncodedDataset:
    """`data` with the features of all its documents, computed with all of torch's threads.

    Args:
        data: encoded with at least `config.max_length`.
        config: `encoder`, `max_length` and `precision` count.
        device: where to compute; None: a GPU if there is one.
        cache_dir: None: `default_cache_dir()`. A split that was computed is kept, whatever happens
            to the next; if the folder cannot be written, features stay in memory.
        on_progress: not called for splits that the cache has.

    Raises:
        UsageError: the encoder cannot be read, or has too few positions.
    """
    device = device or pick_device()
    folder = resolve_encoder(config.encoder)
    check_max_length(folder, config.max_length)
    data = data.truncated(config.max_length)
    precision = resolve_precision(config.precision, device)
    cache = ArrayCache((cache_dir or default_cache_dir()) / "features")
    build = _Builder(config.encoder, device, precision, data, on_progress)
    key = _key(data, config, folder, f"{device.type}-{precision}")

    def fetched(name: SplitName) -> EncodedSplit:
        features = cache.fetch(f"{key}-{name}", lambda: {"features": build(name)})["features"]
        return dataclasses.replace(data.split(name), features=features)

    return dataclasses.replace(
        data, train=fetched("train"), val=fetched("val"), test=fetched("test")
    )


def _key(data: EncodedDataset, config: TrialConfig, folder: Path, how: str) -> str:
    digest = hashlib.sha256()
    for part in (_FORMAT, data.fingerprint, str(config.max_length), how):
        digest.update(f"{len(part)}:{part}".encode())
    weights = {".safetensors", ".bin"}
    for path in sorted(folder.iterdir()):
        if path.name == "config.json" or path.suffix in weights:
            with path.open("rb") as file:
                digest.update(f"{path.name}:".encode())
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


class _Builder:
    """Computes splits; reads the encoder when the first one is asked for."""

    def __init__(
        self,
        encoder: str,
        device: torch.device,
        precision: str,
        data: EncodedDataset,
        on_progress: OnProgress | None,
    ) -> None:
        self._encoder, self._device, self._precision = encoder, device, precision
        self._data, self._on_progress = data, on_progress
        self._bert: BertModel | None = None

    def __call__(self, name: SplitName) -> npt.NDArray[np.float32]:
        """Features [N, F] of a split."""
        if self._bert is None:
            self._bert = build_bert(PristineWeights.load(self._encoder), self._device)
        split = self._data.split(name)
        lengths_N, done = split.lengths, 0
        features_NF = np.empty((len(split), 2 * self._bert.config.hidden_size), np.float32)
        autocast = torch.autocast(
            self._device.type, torch.bfloat16, enabled=self._precision == "bf16"
        )
        slices = cut_packed(lengths_N, max_tokens=_MAX_TOKENS[self._device.type])
        for docs_B in reversed(slices):  # the slow ones first: the time left is never too rosy
            with torch.no_grad(), autocast:
                features_NF[docs_B] = self._pass(self._bert, split, docs_B).cpu().numpy()
            done += int(lengths_N[docs_B].sum())
            if self._on_progress is not None:
                self._on_progress(name, done, int(lengths_N.sum()))
        return_free_memory()
        return features_NF

    def _pass(self, bert: BertModel, split: EncodedSplit, docs_B: Indices) -> Tensor:
        if self._device.type == "cpu":
            batch = pack(split, docs_B)
            return _pool_packed(encode_packed(bert, batch), batch.first_B, split.lengths[docs_B])
        ids_BT, mask_B11T = padded_tokens(
            split,
            docs_B,
            pad_id=self._data.pad_id,
            max_width=bert.config.max_position_embeddings,
            device=self._device,
        )
        hidden_BTH = bert(input_ids=ids_BT, attention_mask=mask_B11T).last_hidden_state
        mask_BT = torch.ones_like(ids_BT) if mask_B11T is None else mask_B11T[:, 0, 0]
        return pool(hidden_BTH, mask_BT)


def _pool_packed(hidden_TH: Tensor, first_B: Tensor, lengths_B: npt.NDArray[np.int64]) -> Tensor:
    """`pool` without padding."""
    hidden_TH, counts_B = hidden_TH.float(), torch.from_numpy(lengths_B)
    doc_T = torch.repeat_interleave(torch.arange(len(counts_B)), counts_B)
    sum_BH = hidden_TH.new_zeros(len(counts_B), hidden_TH.shape[1]).index_add_(0, doc_T, hidden_TH)
    return torch.cat([hidden_TH[first_B], sum_BH / counts_B[:, None]], dim=1)
