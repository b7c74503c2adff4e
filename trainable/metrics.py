"""Metrics of a split from its threshold counts; equal to scikit-learn's with zero_division=0.

Shapes: L labels, K thresholds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainable.datasets.records import GROUPS, Group
from trainable.thresholds import HALF, THRESHOLDS_K, Counts, f1


def split_metrics(
    split: str, counts: Counts, threshold_index: int, groups: Sequence[Group]
) -> dict[str, float]:
    """Micro- and macro-F1 of a split at one threshold and at 0.5, and of its head, medium and tail.

    Args:
        split: prefix of the keys: `val` gives `val/micro_f1`.
        counts: of the split.
        threshold_index: into `THRESHOLDS_K`.
        groups: the group of each label, [L].

    Returns:
        `{split}/micro_f1`, `macro_f1`, `micro_f1_at_0.5`, `macro_f1_at_0.5`, `threshold` and
        `{split}/{head,medium,tail}/{micro,macro}_f1`, each in [0, 1]. A group without labels has
        no keys: a 0 would read as a failure. Undefined F1 is 0 (DESIGN D5).
    """
    micro, macro = scores(*at_threshold(counts, threshold_index))
    micro_half, macro_half = scores(*at_threshold(counts, HALF))
    metrics = {
        f"{split}/micro_f1": micro,
        f"{split}/macro_f1": macro,
        f"{split}/micro_f1_at_0.5": micro_half,
        f"{split}/macro_f1_at_0.5": macro_half,
        f"{split}/threshold": THRESHOLDS_K[threshold_index],
    }
    by_group = group_scores(*at_threshold(counts, threshold_index), groups)
    for group, (micro, macro) in by_group.items():
        metrics[f"{split}/{group}/micro_f1"] = micro
        metrics[f"{split}/{group}/macro_f1"] = macro
    return metrics


def at_threshold(counts: Counts, index: int) -> tuple[Tensor, Tensor, Tensor]:
    """`(tp_L, fp_L, fn_L)` at one threshold."""
    return counts.tp_KL[index], counts.fp_KL[index], counts.fn_KL[index]


def scores(tp_L: Tensor, fp_L: Tensor, fn_L: Tensor) -> tuple[float, float]:
    """`(micro-F1, macro-F1)` over the given labels, at least one."""
    micro = f1(tp_L.sum(), fp_L.sum(), fn_L.sum())
    return float(micro), float(f1(tp_L, fp_L, fn_L).mean())


def group_scores(
    tp_L: Tensor, fp_L: Tensor, fn_L: Tensor, groups: Sequence[Group]
) -> dict[Group, tuple[float, float]]:
    """`(micro-F1, macro-F1)` over the labels of each group that has labels."""
    found: dict[Group, tuple[float, float]] = {}
    for group in GROUPS:
        members = torch.tensor([label for label, its in enumerate(groups) if its == group])
        if len(members):
            found[group] = scores(tp_L[members], fp_L[members], fn_L[members])
    return found


def all_scores(tp_L: Tensor, fp_L: Tensor, fn_L: Tensor) -> dict[str, float]:
    """Micro and macro F1, precision and recall over the given labels, at least one; 0 if undefined.

    A macro score is a mean over the labels, those without a positive or a prediction included.
    """
    found = {}
    for name, columns in (("micro", _sums(tp_L, fp_L, fn_L)), ("macro", (tp_L, fp_L, fn_L))):
        tp, fp, fn = columns
        found[f"{name}_f1"] = float(f1(tp, fp, fn).mean())
        found[f"{name}_precision"] = float(share(tp, fp).mean())
        found[f"{name}_recall"] = float(share(tp, fn).mean())
    return found


def share(hits: Tensor, others: Tensor) -> Tensor:
    """`hits / (hits + others)`, float64: precision, or recall; 0 where both are 0."""
    return hits.double() / (hits + others).clamp_min(1).double()


def _sums(*counts: Tensor) -> tuple[Tensor, ...]:
    return tuple(count.sum() for count in counts)
