"""The documents that are measured on: Reuters-21578, or synthetic ones of its lengths.

Synthetic documents are words of the encoder's vocabulary, drawn at random, rare ones rarely. Their
lengths are quantiles of a log-normal distribution, clipped, fitted to Reuters' training split under
MiniLM's tokenizer: mean 167, a twentieth at 512 word pieces. Labels are long-tailed.

Shapes: N documents, L labels.
"""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trainable.config import TrialConfig
from trainable.datasets.records import SPLITS, Group, SplitName
from trainable.encoded import EncodedDataset, EncodedSplit
from trainable.encoders import check_max_length, resolve_encoder
from trainable.paths import expand

REUTERS_SIZES: Final[Mapping[SplitName, int]] = {"train": 6770, "val": 1000, "test": 3019}
NUM_LABELS: Final = 90

_MEDIAN: Final = 122.0
_SIGMA: Final = 0.88
_SHORTEST: Final = 8
_WORDS: Final = 15_000
"""Distinct words; Reuters' training split uses 15,424 of MiniLM's word pieces."""
_LABELS_PER_DOC: Final = 1.23


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """Documents, as text and as word pieces."""

    source: str
    """For people."""
    encoder: str
    data: EncodedDataset
    texts_by_split: Mapping[SplitName, Sequence[str]]

    def texts(self, split: SplitName) -> Sequence[str]:
        """The texts of a split's documents."""
        return self.texts_by_split[split]

    def sample(self, split: SplitName, size: int, *, seed: int = 0) -> npt.NDArray[np.int64]:
        """Documents of a split that stand for all of it: see `stratified`."""
        return stratified(self.data.split(split).lengths, size, seed=seed)


def load_corpus(
    data: str | None,
    encoder: str,
    *,
    max_length: int,
    sizes: Mapping[SplitName, int] = REUTERS_SIZES,
) -> Corpus:
    """Reuters from `data` (as `search run --data` takes it), else synthetic documents.

    Raises:
        UsageError: no such data or encoder, or one with too few positions.
    """
    check_max_length(resolve_encoder(encoder), max_length)
    if data is None:
        return _synthetic(encoder, max_length, sizes)
    from trainable.datasets import load_dataset
    from trainable.tokenization import encode_dataset

    config = TrialConfig(data_path=str(expand(data, "--data").resolve()), encoder=encoder)
    dataset = load_dataset(config)
    return Corpus(
        source=f"Reuters-21578 from {data}",
        encoder=encoder,
        texts_by_split={name: dataset.split(name).texts for name in SPLITS},
        data=encode_dataset(dataset, encoder=encoder, max_length=max_length),
    )


def stratified(lengths_N: npt.NDArray[np.int64], size: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Documents at evenly spaced quantiles of length, shuffled; all where there are not more."""
    size = min(size, len(lengths_N))
    by_length_N = np.argsort(lengths_N, kind="stable")
    quantiles = ((np.arange(size) + 0.5) / size * len(lengths_N)).astype(np.int64)
    return np.random.default_rng(seed).permutation(by_length_N[quantiles])


def long_tailed_labels(
    num_docs: int, num_labels: int, *, per_doc: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Label ids and offsets of random documents, sorted and distinct within each.

    Label l is drawn in proportion to 1 / (l + 1); the first documents carry one label each, in
    turn, so that no label is without one where there are as many documents. `per_doc` counts draws:
    labels drawn twice count once.
    """
    weights_L = 1.0 / np.arange(1, num_labels + 1)
    bounds_L = np.cumsum(weights_L / weights_L.sum())
    draws_N = 1 + rng.poisson(per_doc - 1.0, size=num_docs)
    drawn_P = np.minimum(np.searchsorted(bounds_L, rng.random(draws_N.sum())), num_labels - 1)
    starts_N = np.cumsum(draws_N) - draws_N
    first = min(num_docs, num_labels)
    drawn_P[starts_N[:first]] = np.arange(first)
    doc_P = np.repeat(np.arange(num_docs), draws_N)
    pairs = np.unique(doc_P * num_labels + drawn_P)
    counts_N = np.bincount(pairs // num_labels, minlength=num_docs)
    return (pairs % num_labels).astype(np.int32), np.concatenate([[0], np.cumsum(counts_N)])


def without_names(num_labels: int, *, pad_id: int, **splits: EncodedSplit) -> EncodedDataset:
    """Made-up splits (train, val, test) as a dataset: its labels have numbers, and one group."""
    groups: list[Group] = ["head"] * num_labels
    return EncodedDataset(
        name="synthetic",
        fingerprint="synthetic",
        label_names=tuple(f"label{number}" for number in range(num_labels)),
        groups=tuple(groups),
        pad_id=pad_id,
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
    )


def _synthetic(encoder: str, max_length: int, sizes: Mapping[SplitName, int]) -> Corpus:
    tokenizer = _load_tokenizer(resolve_encoder(encoder))
    words = [
        (word, number)
        for word, number in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
        if re.fullmatch("[a-z]{2,}", word)
    ][:_WORDS]
    rng = np.random.default_rng(0)
    splits: dict[str, EncodedSplit] = {}
    texts: dict[SplitName, Sequence[str]] = {}
    for name, size in sizes.items():
        lengths_N = rng.permutation(_lengths(size, max_length))
        drawn = _draw_words(len(words), int((lengths_N - 2).sum()), rng)
        bounds = np.concatenate([[0], np.cumsum(lengths_N - 2)])
        documents = [drawn[low:high] for low, high in itertools.pairwise(bounds)]
        texts[name] = [" ".join(words[w][0] for w in document) for document in documents]
        ids = np.asarray([number for _, number in words], dtype=np.int32)
        label_ids, label_offsets = long_tailed_labels(
            size, NUM_LABELS, per_doc=_LABELS_PER_DOC, rng=rng
        )
        ends = ([tokenizer.cls_token_id], [tokenizer.sep_token_id])
        splits[name] = EncodedSplit(
            token_ids=np.concatenate(
                [part for words_ in documents for part in (ends[0], ids[words_], ends[1])]
            ).astype(np.int32),
            token_offsets=np.concatenate([[0], np.cumsum(lengths_N)]),
            label_ids=label_ids,
            label_offsets=label_offsets,
        )
    data = without_names(NUM_LABELS, pad_id=tokenizer.pad_token_id, **splits)
    source = "synthetic: random words, Reuters' lengths"
    return Corpus(source=source, encoder=encoder, data=data, texts_by_split=texts)


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _lengths(size: int, max_length: int) -> npt.NDArray[np.int64]:
    normal = NormalDist()
    quantiles = [normal.inv_cdf((n + 0.5) / size) for n in range(size)]
    raw_N = _MEDIAN * np.exp(_SIGMA * np.asarray(quantiles))
    return np.clip(np.rint(raw_N), _SHORTEST, max_length).astype(np.int64)


def _draw_words(vocabulary: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Word numbers, by Zipf's law."""
    weights = 1.0 / (np.arange(vocabulary) + 10.0)
    bounds = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(bounds, rng.random(size)), vocabulary - 1)
