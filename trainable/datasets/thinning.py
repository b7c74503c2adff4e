"""Fewer documents for a smaller budget, the same ones on every machine."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from trainable.config import TrialConfig
from trainable.datasets.assemble import seal
from trainable.datasets.records import SplitName, TextDataset, TextSplit
from trainable.errors import UsageError


class TooFewDocumentsError(UsageError):
    """A limit on training documents under which a label would have none."""

    def __init__(self, limit: int, needed: int) -> None:
        super().__init__(
            f"setting 'max_train_docs' must be at least {needed}, so that every label "
            f"keeps a training document, got {limit}"
        )
        self.needed = needed
        """A limit that is enough."""


def thin(dataset: TextDataset, config: TrialConfig) -> TextDataset:
    """Keep at most `max_*_docs` documents of each split, drawn by `split_seed`.

    The training split keeps at least one document of every label; groups stay those of the full
    training split. A smaller limit keeps a subset of what a larger one keeps. Documents stay in
    their order.

    Raises:
        TooFewDocumentsError: `max_train_docs` too small for one document of every label.
    """
    limits: dict[SplitName, int | None] = {
        "train": config.max_train_docs,
        "val": config.max_val_docs,
        "test": config.max_test_docs,
    }
    parts = {name: dataset.split(name) for name in limits}
    if all(limit is None or limit >= len(parts[name]) for name, limit in limits.items()):
        return dataset
    for name, limit in limits.items():
        if limit is not None and limit < len(parts[name]):
            parts[name] = _thin_split(parts[name], name, limit, config.split_seed)
    changed = dataclasses.replace(
        dataset, train=parts["train"], val=parts["val"], test=parts["test"]
    )
    return seal(changed)


def _thin_split(part: TextSplit, name: SplitName, limit: int, seed: int) -> TextSplit:
    # RandomState: its stream is frozen across numpy versions
    order = np.random.RandomState(seed).permutation(len(part)).tolist()
    if name == "train":
        cover = _cover(part.labels, order)
        if limit < len(cover):
            raise TooFewDocumentsError(limit, needed=len(cover))
        covering = set(cover)
        order = cover + [number for number in order if number not in covering]
    kept = sorted(order[:limit])
    return TextSplit(
        ids=tuple(part.ids[number] for number in kept),
        texts=tuple(part.texts[number] for number in kept),
        labels=tuple(part.labels[number] for number in kept),
    )


def _cover(labels: Sequence[tuple[int, ...]], order: Sequence[int]) -> list[int]:
    """Few documents that have every label between them (greedy set cover), ties by `order`.

    Lazy: a document's gain only falls as labels get covered, so it is looked at again only when
    it comes up in the bucket of its last known gain. Linear in the number of labels given.
    """
    missing = {label for row in labels for label in row}
    buckets: dict[int, list[int]] = {}
    for number in reversed(order):
        buckets.setdefault(len(labels[number]), []).append(number)
    cover: list[int] = []
    for gain in range(max(buckets, default=0), 0, -1):
        lower: dict[int, list[int]] = {}
        for number in reversed(buckets.get(gain, [])):
            left = missing.intersection(labels[number])
            if len(left) == gain:
                cover.append(number)
                missing -= left
            elif left:
                lower.setdefault(len(left), []).append(number)
        for smaller, numbers in lower.items():
            buckets[smaller] = buckets.get(smaller, []) + numbers[::-1]
    return cover
