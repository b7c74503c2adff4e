"""What a dataset is, before tokenisation: texts, sparse labels, names."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, get_args

Group = Literal["head", "medium", "tail"]
GROUPS: tuple[Group, ...] = get_args(Group)

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextSplit:
    """N documents; `labels[n]` are the sorted, distinct label indices of document n."""

    ids: Sequence[str]
    texts: Sequence[str]
    labels: Sequence[tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextDataset:
    """Three splits over L labels.

    Every label has at least one training document (DESIGN D4). `groups[l]` comes from the counts
    of the full training split, before `max_train_docs` thins it, so that the reported groups stay
    the paper's.
    """

    name: str
    source: str
    """Where it was read from, for people: a path, or `synthetic`."""
    label_names: tuple[str, ...]
    groups: tuple[Group, ...]
    group_rule: str
    """How the groups were cut, for people: `head >= 35, medium 9..34, tail <= 8`."""
    train: TextSplit
    val: TextSplit
    test: TextSplit
    fingerprint: str
    """SHA-256 (hex) over everything above: texts, labels, names, the split."""

    def split(self, name: SplitName) -> TextSplit:
        """One split by its name."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]
