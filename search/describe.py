"""What a dataset looks like, in numbers: the content of dataset.json, and of `search data`."""

from collections import Counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trainable.datasets.records import GROUPS, SPLITS, SplitName, TextDataset, TextSplit
from trainable.encoded import EncodedDataset
from trainable.label_stats import label_stats

_LENGTH_QUANTILES: Final = (0.5, 0.75, 0.9, 0.99)
_COUNT_QUANTILES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_PAIRS: Final[tuple[tuple[SplitName, SplitName], ...]] = (
    ("train", "val"),
    ("train", "test"),
    ("val", "test"),
)


def describe_dataset(
    dataset: TextDataset, encoded: EncodedDataset | None, *, max_length: int | None = None
) -> dict[str, Any]:
    """Describe a dataset in numbers.

    Args:
        dataset: The split texts and labels.
        encoded: The same dataset tokenised, for word pieces and mu; None leaves both out.
        max_length: What `encoded` was cut to, for the share of cut documents; None leaves it out.

    Returns:
        JSON-able: `name`, `source`, `fingerprint`, `num_labels`, `splits` (documents, labels per
        document, word pieces), `groups` (the rule; labels in head, medium and tail),
        `label_counts` (quantiles of the training counts), `duplicates`, `labels` (one row a label,
        most frequent first) and `mu_estimate`.
    """
    description: dict[str, Any] = {
        "name": dataset.name,
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "num_labels": len(dataset.label_names),
        "splits": {name: _describe_split(dataset.split(name)) for name in SPLITS},
        "groups": {
            "rule": dataset.group_rule,
            **{group: dataset.groups.count(group) for group in GROUPS},
        },
        "label_counts": _quantiles(_label_counts(dataset, dataset.train), _COUNT_QUANTILES),
        "duplicates": _duplicates(dataset),
        "labels": _label_rows(dataset),
    }
    if encoded is not None:
        for name in SPLITS:
            lengths = encoded.split(name).lengths
            description["splits"][name]["word_pieces"] = _lengths(lengths, max_length)
        stats = label_stats(encoded.train, encoded.num_labels)
        description["mu_estimate"] = stats.mu_estimate
    return description


def _describe_split(split: TextSplit) -> dict[str, Any]:
    sizes = Counter(len(row) for row in split.labels)
    total = sum(size * number for size, number in sizes.items())
    return {
        "documents": len(split),
        "without_labels": sizes[0],
        "single_label": sizes[1],
        "multi_label": len(split) - sizes[0] - sizes[1],
        "labels_per_document": {
            "mean": total / len(split) if len(split) else 0.0,
            "max": max(sizes, default=0),
            "documents_by_number": {str(size): sizes[size] for size in sorted(sizes)},
        },
    }


def _label_counts(dataset: TextDataset, split: TextSplit) -> npt.NDArray[np.int64]:
    flat = [label for row in split.labels for label in row]
    return np.bincount(np.asarray(flat, dtype=np.int64), minlength=len(dataset.label_names))


def _label_rows(dataset: TextDataset) -> list[dict[str, Any]]:
    counts = {name: _label_counts(dataset, dataset.split(name)) for name in SPLITS}
    # ties in the order of the names
    order = np.argsort(-counts["train"], kind="stable").tolist()
    return [
        {
            "label": dataset.label_names[label],
            "group": dataset.groups[label],
            **{name: int(counts[name][label]) for name in SPLITS},
        }
        for label in order
    ]


def _duplicates(dataset: TextDataset) -> dict[str, int]:
    """Documents whose very text occurred before: in the same split, or in an earlier one."""
    texts = {name: set(dataset.split(name).texts) for name in SPLITS}
    found = {f"within_{name}": len(dataset.split(name)) - len(texts[name]) for name in SPLITS}
    for first, second in _PAIRS:
        repeated = sum(text in texts[first] for text in dataset.split(second).texts)
        found[f"{second}_in_{first}"] = repeated
    return found


def _lengths(lengths: npt.NDArray[np.int64], max_length: int | None) -> dict[str, float]:
    described = {"mean": float(lengths.mean()), **_quantiles(lengths, _LENGTH_QUANTILES)}
    if max_length is not None:
        described["max_length"] = max_length
        # a document that fits exactly counts too
        described["share_cut"] = float((lengths >= max_length).mean())
    return described


def _quantiles(values: npt.NDArray[np.int64], quantiles: tuple[float, ...]) -> dict[str, float]:
    return {f"p{round(100 * q)}": float(np.quantile(values, q)) for q in quantiles}
