"""A dataset as trials read it: flat token ids with offsets, labels sparse until a batch is made.

Shapes: N documents, T tokens in all, P positive (document, label) pairs, L labels, F features.
All arrays may be read-only views (a memory map, or Ray's object store): nothing writes to them.
"""

import dataclasses
import itertools
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from trainable.datasets.records import Group, SplitName, TextDataset, TextSplit


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EncodedSplit:
    """Document n has tokens `token_ids[token_offsets[n]:token_offsets[n+1]]`, labels likewise."""

    token_ids: npt.NDArray[np.int32]
    """[T] word pieces, [CLS] and [SEP] included."""
    token_offsets: npt.NDArray[np.int64]
    """[N + 1]"""
    label_ids: npt.NDArray[np.int32]
    """[P] label indices, sorted and distinct within a document."""
    label_offsets: npt.NDArray[np.int64]
    """[N + 1]"""
    features: npt.NDArray[np.float32] | None = None
    """[N, F] of a frozen encoder (`trainable.features`); None where they are not needed."""

    def __len__(self) -> int:
        return len(self.token_offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """[N] word pieces per document."""
        return np.diff(self.token_offsets)

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Its arrays by field name, without what is None."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def take(self, docs_B: npt.NDArray[np.int64]) -> Self:
        """The split of the documents `docs_B` alone, in that order."""
        token_ids, token_offsets = _gather(self.token_ids, self.token_offsets, docs_B)
        label_ids, label_offsets = _gather(self.label_ids, self.label_offsets, docs_B)
        return dataclasses.replace(
            self,
            token_ids=token_ids,
            token_offsets=token_offsets,
            label_ids=label_ids,
            label_offsets=label_offsets,
            features=None if self.features is None else self.features[docs_B],
        )

    def truncated(self, max_length: int) -> Self:
        """At most `max_length` word pieces a document; itself where nothing is longer.

        The last one ([SEP]) is kept: this is what the tokenizer gives with that limit.
        """
        lengths = self.lengths
        if len(lengths) == 0 or lengths.max() <= max_length:
            return self
        kept = np.minimum(lengths, max_length)
        offsets = np.concatenate([[0], np.cumsum(kept)])
        source = np.arange(offsets[-1]) + np.repeat(self.token_offsets[:-1] - offsets[:-1], kept)
        source[offsets[1:] - 1] = self.token_offsets[1:] - 1
        return dataclasses.replace(self, token_ids=self.token_ids[source], token_offsets=offsets)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EncodedDataset:
    """Three encoded splits, and all that a trial needs to know of their origin."""

    name: str
    fingerprint: str
    """Of the texts, the tokenizer and the maximum length together."""
    label_names: tuple[str, ...]
    groups: tuple[Group, ...]
    pad_id: int
    train: EncodedSplit
    val: EncodedSplit
    test: EncodedSplit
    test_ids: tuple[str, ...] = ()
    """The test documents' ids in the data, to tell predictions by; empty: their places serve."""

    @property
    def num_labels(self) -> int:
        """L."""
        return len(self.label_names)

    def truncated(self, max_length: int) -> Self:
        """All splits `truncated`; the fingerprint stays that of the longer encoding."""
        return dataclasses.replace(
            self,
            train=self.train.truncated(max_length),
            val=self.val.truncated(max_length),
            test=self.test.truncated(max_length),
        )

    def split(self, name: SplitName) -> EncodedSplit:
        """One split by its name."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


def _gather(
    values: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], docs_B: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The values of some documents, with their offsets."""
    lengths_B = np.diff(offsets)[docs_B]
    taken = np.concatenate([[0], np.cumsum(lengths_B)])
    source = np.arange(taken[-1]) + np.repeat(offsets[docs_B] - taken[:-1], lengths_B)
    return values[source], taken


def labels_alone(dataset: TextDataset) -> EncodedDataset:
    """The dataset as an evaluation needs it: names and labels, documents without word pieces."""
    return EncodedDataset(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        label_names=dataset.label_names,
        groups=dataset.groups,
        pad_id=0,
        train=_labels_of(dataset.train),
        val=_labels_of(dataset.val),
        test=_labels_of(dataset.test),
        test_ids=tuple(dataset.test.ids),
    )


def _labels_of(split: TextSplit) -> EncodedSplit:
    return EncodedSplit(
        token_ids=np.zeros(0, np.int32),
        token_offsets=np.zeros(len(split) + 1, np.int64),
        label_ids=np.fromiter(itertools.chain.from_iterable(split.labels), np.int32),
        label_offsets=np.cumsum([0, *map(len, split.labels)], dtype=np.int64),
    )
