"""From raw documents to a checked `TextDataset`: label indices, groups, checks, fingerprint.

Every source ends here, so every dataset obeys the same rules.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from trainable.datasets.groups import Groups
from trainable.datasets.records import SPLITS, SplitName, TextDataset, TextSplit
from trainable.errors import UsageError

GroupRule = Callable[[Sequence[int]], Groups]
"""Training counts of the labels -> their groups."""

NAMED_IN_ERRORS = 5


class Document(NamedTuple):
    """One document as its source gave it; `labels` are names, sorted and distinct."""

    id: str
    text: str
    labels: tuple[str, ...]


def assemble(
    *,
    name: str,
    source: str,
    splits: Mapping[SplitName, Sequence[Document]],
    group_rule: GroupRule,
    advice: str,
) -> TextDataset:
    """Build the dataset that trials read, or refuse it.

    Args:
        name: What the dataset is called in results.
        source: Where it was read from, for people.
        splits: The documents of each split, in their final order.
        group_rule: Cuts the labels into head, medium and tail by their training counts.
        advice: What to do when a label has no training document; ends the error's line.

    Raises:
        UsageError: a split without documents, no labels at all, or a label that no training
            document has (DESIGN D4).
    """
    for split in SPLITS:
        if not splits[split]:
            raise UsageError(f"dataset '{name}' ({source}) has no {split} documents")
    counts = Counter(label for doc in splits["train"] for label in doc.labels)
    names = sorted({label for docs in splits.values() for doc in docs for label in doc.labels})
    if not names:
        raise UsageError(f"dataset '{name}' ({source}) has no labels at all: nothing to learn")
    check_trained(names, counts, what=f"dataset '{name}' ({source})", advice=advice)
    grouped = group_rule([counts[label] for label in names])
    index = {label: number for number, label in enumerate(names)}
    encoded = {split: _text_split(docs, index) for split, docs in splits.items()}
    return seal(
        TextDataset(
            name=name,
            source=source,
            label_names=tuple(names),
            groups=grouped.groups,
            group_rule=grouped.rule,
            train=encoded["train"],
            val=encoded["val"],
            test=encoded["test"],
            fingerprint="",
        )
    )


def check_trained(
    names: Sequence[str], counts: Mapping[str, int], *, what: str, advice: str
) -> None:
    """Refuse labels without a training document: their weights would be infinite (DESIGN D4)."""
    lost = [label for label in names if not counts.get(label)]
    if lost:
        raise UsageError(
            f"{what}: every label needs a training document, but {name_some(lost)} "
            f"{'has' if len(lost) == 1 else 'have'} none; {advice}"
        )


def name_some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are.

    >>> name_some(["a", "b"]), name_some(["a", "b", "c", "d", "e", "f", "g"])
    ("'a', 'b'", "'a', 'b', 'c', 'd', 'e' and 2 more")
    """
    shown = ", ".join(f"'{name}'" for name in names[:NAMED_IN_ERRORS])
    rest = len(names) - NAMED_IN_ERRORS
    return f"{shown} and {rest} more" if rest > 0 else shown


def seal(dataset: TextDataset) -> TextDataset:
    """The dataset with the fingerprint of its content.

    Everything but `name` and `source` counts: the same data under another path is the same data.
    """
    digest = hashlib.sha256()
    head = [dataset.label_names, dataset.groups, dataset.group_rule]
    digest.update(json.dumps(head).encode())
    for split in SPLITS:
        part = dataset.split(split)
        content = [split, list(part.ids), list(part.texts), [list(ls) for ls in part.labels]]
        digest.update(json.dumps(content).encode())
    return dataclasses.replace(dataset, fingerprint=digest.hexdigest())


def _text_split(docs: Sequence[Document], index: Mapping[str, int]) -> TextSplit:
    return TextSplit(
        ids=tuple(doc.id for doc in docs),
        texts=tuple(doc.text for doc in docs),
        labels=tuple(tuple(sorted({index[label] for label in doc.labels})) for doc in docs),
    )
