"""Datasets: `load_dataset` turns a configuration into texts, labels and a split.

One file per source; each ends in `assemble`, where the rules common to all are checked.

    reuters    Reuters-21578 with the paper's split
    demo       a synthetic newswire that needs no download
    file       the user's own .jsonl, .csv or .parquet
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from trainable.config import TrialConfig
from trainable.datasets.cache import default_cache_dir
from trainable.datasets.demo import load_demo
from trainable.datasets.own_file import load_own_file
from trainable.datasets.records import TextDataset
from trainable.datasets.reuters import load_reuters
from trainable.datasets.thinning import TooFewDocumentsError, thin
from trainable.errors import unknown_name

__all__ = ["DATASETS", "TooFewDocumentsError", "default_cache_dir", "load_dataset"]

_LOADERS: Final[Mapping[str, Callable[[TrialConfig, Path], TextDataset]]] = MappingProxyType(
    {"reuters": load_reuters, "demo": load_demo, "file": load_own_file}
)

DATASETS: Final[tuple[str, ...]] = tuple(_LOADERS)
"""The names that `TrialConfig.dataset` may have."""


def load_dataset(config: TrialConfig, *, cache_dir: Path | None = None) -> TextDataset:
    """Load the dataset that `config` names, split and thinned as it says.

    Args:
        config: `dataset`, `data_path`, `split_seed`, `max_*_docs` and the column settings count.
        cache_dir: Where downloads are kept; None: `default_cache_dir()`.

    Raises:
        UsageError: an unknown dataset, or data that cannot be used; one line says why.
    """
    if config.dataset not in _LOADERS:
        raise unknown_name("dataset", config.dataset, DATASETS)
    dataset = _LOADERS[config.dataset](config, cache_dir or default_cache_dir())
    return thin(dataset, config)
