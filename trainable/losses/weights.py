"""Weights of the losses: by class (class-balanced) or by document and class (rebalanced).

Equations are those of Huang et al. 2021 (EMNLP, 2021.emnlp-main.643).
Shapes: B batch, L labels.
"""

import torch
from torch import Tensor


def class_balanced_weights(counts_L: Tensor, cb_beta: float) -> Tensor:
    """Inverse effective number of documents of each label (in eq. 4; after Cui et al. 2019).

    `(1 - cb_beta) / (1 - cb_beta ** n_l)`: 1 for a label with one document, `1 - cb_beta` for a
    frequent one; it flattens at about `1 / (1 - cb_beta)` documents.

    Args:
        counts_L: training documents per label, at least 1, float64.
        cb_beta: in [0, 1); 0 weighs every label 1.

    Returns:
        float64 weights in (0, 1], [L]; used "by class": the same for positives and negatives.
    """
    return (1.0 - cb_beta) / (1.0 - cb_beta**counts_L)


def rebalanced_weights(
    positive_BL: Tensor, inverse_counts_L: Tensor, *, alpha: float, beta: float, mu: float
) -> Tensor:
    """Smoothed ratio of class-level to document-level sampling frequency (in eq. 5 and 8).

    `alpha + sigmoid(beta * (r - mu))` with `r_nl = (1 / n_l) / sum_(j in labels of n) (1 / n_j)`.
    Applied to positives and negatives alike (DESIGN D2). A document without labels has no r; its
    weights are the largest, `alpha + 1`, the limit as its sum goes to 0.

    Args:
        positive_BL: bool targets.
        inverse_counts_L: 1 / n_l of the training set, of the dtype to compute in.
        alpha: additive lift, at least 0.
        beta: slope of the sigmoid, above 0.
        mu: centre of the sigmoid on the scale of r.

    Returns:
        Weights in (alpha, alpha + 1], [B, L]; no gradient depends on the logits.
    """
    tiny = torch.finfo(inverse_counts_L.dtype).tiny
    total_B1 = (positive_BL * inverse_counts_L).sum(dim=1, keepdim=True).clamp_min(tiny)
    return alpha + torch.sigmoid(beta * (inverse_counts_L / total_B1 - mu))
