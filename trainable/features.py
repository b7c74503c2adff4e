"""Features of a frozen encoder: computed once, cached on disk, shared by all trials.

Shapes: N documents, B of one pass, T word pieces, F features.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from trainable.array_cache import ArrayCache
from trainable.config import TrialConfig
from trainable.datasets.cache import default_cache_dir
from trainable.datasets.records import SplitName
from trainable.device import memory_errors, pick_device, resolve_precision
from trainable.encoded import EncodedDataset, EncodedSplit
from trainable.encoders import WEIGHT_SUFFIXES, check_max_length, resolve_encoder
from trainable.extractor import Extractor, feature_slices
from trainable.feature_pool import MEMORY_ADVICE, extract

_FORMAT: Final = "1"
"""Raise it when the meaning of the cached arrays changes."""
_WORTH_A_POOL: Final = 200_000
"""Word pieces; a process takes some 6 s to start, and so many take one core twice that."""

OnProgress = Callable[[SplitName, int, int], None]
"""Called with a split, the word pieces done (first 0) and all of that split's."""


def with_features(
    data: EncodedDataset,
    config: TrialConfig,
    *,
    device: torch.device | None = None,
    processes: int | None = None,
    cache_dir: Path | None = None,
    on_progress: OnProgress | None = None,
) -> EncodedDataset:
    """`data` with the features of all its documents, computed on a GPU or on all cores.

    Args:
        data: encoded with at least `config.max_length`.
        config: `encoder`, `max_length` and `precision` count.
        device: where to compute; None: a GPU if there is one.
        processes: on a CPU, where there is much to compute; None: as many as cores, 16 at most.
        cache_dir: None: `default_cache_dir()`. A split that was computed is kept, whatever happens
            to the next; if the folder cannot be written, features stay in memory.
        on_progress: not called for splits that the cache has.

    Raises:
        UsageError: the encoder cannot be read, or has too few positions.
        UserError: memory ran out.
    """
    device = device or pick_device()
    folder = resolve_encoder(config.encoder)
    check_max_length(folder, config.max_length)
    data = data.truncated(config.max_length)
    precision = resolve_precision(config.precision, device)
    cache = ArrayCache((cache_dir or default_cache_dir()) / "features")
    build = _Builder(
        data=data,
        encoder=config.encoder,
        device=device,
        precision=precision,
        processes=processes,
        on_progress=on_progress,
    )
    key = _key(data, config, folder, f"{device.type}-{precision}")

    def fetched(name: SplitName) -> EncodedSplit:
        features = cache.fetch(f"{key}-{name}", lambda: {"features": build(name)})["features"]
        return dataclasses.replace(data.split(name), features=features)

    with memory_errors(MEMORY_ADVICE), contextlib.closing(build):
        return dataclasses.replace(
            data, train=fetched("train"), val=fetched("val"), test=fetched("test")
        )


def _key(data: EncodedDataset, config: TrialConfig, folder: Path, how: str) -> str:
    digest = hashlib.sha256()
    for part in (_FORMAT, data.fingerprint, str(config.max_length), how):
        digest.update(f"{len(part)}:{part}".encode())
    for path in sorted(folder.iterdir()):
        if path.name == "config.json" or path.suffix in WEIGHT_SUFFIXES:
            with path.open("rb") as file:
                digest.update(f"{path.name}:".encode())
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


@dataclasses.dataclass(kw_only=True, slots=True)
class _Builder:
    """Computes the features of splits."""

    data: EncodedDataset
    encoder: str
    device: torch.device
    precision: str
    processes: int | None
    on_progress: OnProgress | None
    extractor: Extractor | None = None

    def __call__(self, name: SplitName) -> npt.NDArray[np.float32]:
        """Features [N, F] of a split."""
        split = self.data.split(name)
        # the slow ones first: the time left is never too rosy
        slices = feature_slices(split, self.device)[::-1]
        total, done = int(split.token_offsets[-1]), 0
        features_NF = np.empty((0, 0), np.float32)
        self._tell(name, done, total)
        with contextlib.closing(self._extracted([split.take(docs) for docs in slices])) as parts:
            for index, features_BF in parts:
                if not done:
                    features_NF = np.empty((len(split), features_BF.shape[1]), np.float32)
                features_NF[slices[index]] = features_BF
                done += int(split.lengths[slices[index]].sum())
                self._tell(name, done, total)
        return features_NF

    def close(self) -> None:
        """Give the memory of the GPU back: trials in other processes need it."""
        self.extractor = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _tell(self, name: SplitName, done: int, total: int) -> None:
        if self.on_progress is not None:
            self.on_progress(name, done, total)

    def _extracted(
        self, parts: list[EncodedSplit]
    ) -> Generator[tuple[int, npt.NDArray[np.float32]]]:
        tokens = sum(len(part.token_ids) for part in parts)
        if self.device.type == "cpu" and tokens > _WORTH_A_POOL:
            yield from extract(self.encoder, self.precision, parts, processes=self.processes)
            return
        if self.extractor is None:
            self.extractor = Extractor.load(
                self.encoder,
                device=self.device,
                precision=self.precision,
                pad_id=self.data.pad_id,
            )
        for index, part in enumerate(parts):
            yield index, self.extractor(part)
