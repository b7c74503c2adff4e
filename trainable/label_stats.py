"""Counts of the training labels: all that a loss may know of the data."""

import dataclasses

import numpy as np
import numpy.typing as npt

from trainable.encoded import EncodedSplit


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LabelStats:
    """Label counts of a training split.

    `label_counts_L[l]` is the number of training documents with label l, in [0, num_examples];
    `num_examples` is the number of training documents.
    """

    label_counts_L: npt.NDArray[np.int64]
    num_examples: int
    mu_estimate: float
    """(mean + median) / 2 of r over all positive pairs of the split (DESIGN D3), in (0, 1], with
    r_nl = (1 / n_l) / sum over the labels j of document n of (1 / n_j) (paper, eq. 3)."""


def label_stats(split: EncodedSplit, num_labels: int) -> LabelStats:
    """Count the labels of `split` and estimate `mu` from them.

    A split without a single positive pair gets `mu_estimate` 1, where every r would lie.
    """
    counts_L = np.bincount(split.label_ids, minlength=num_labels).astype(np.int64)
    return LabelStats(
        label_counts_L=counts_L,
        num_examples=len(split),
        mu_estimate=_estimate_mu(split, counts_L),
    )


def _estimate_mu(split: EncodedSplit, counts_L: npt.NDArray[np.int64]) -> float:
    if len(split.label_ids) == 0:
        return 1.0
    inverse_P = 1.0 / counts_L[split.label_ids]
    labels_per_doc_N = np.diff(split.label_offsets)
    document_P = np.repeat(np.arange(len(split)), labels_per_doc_N)
    total_N = np.bincount(document_P, weights=inverse_P, minlength=len(split))
    r_P = inverse_P / total_N[document_P]
    return float((r_P.mean() + np.median(r_P)) / 2)
