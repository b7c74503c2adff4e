"""The one formula behind the eight losses: weight x focal factor x negative-tolerant log loss.

Equations are those of Huang et al. 2021 (EMNLP, 2021.emnlp-main.643).
Shapes: B batch, L labels.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def long_tail_loss(
    logits_BL: Tensor,
    positive_BL: Tensor,
    *,
    weights: Tensor | float = 1.0,
    gamma: float = 0.0,
    shift_L: Tensor | None = None,
    lambda_: float = 1.0,
    divide_negatives: bool = True,
) -> Tensor:
    """Mean over documents and labels of `-w * c * (1 - q) ** gamma * log q` (eq. 8 and its limits).

    With `u = z - v` (`shift_L` is v): `q = sigmoid(u)` and `c = 1` where the label is positive,
    `q = sigmoid(-lambda_ * u)` and `c = 1 / lambda_` where it is negative. Without weights, gamma,
    shift and lambda_ this is binary cross-entropy (eq. 1).

    `log q` and `log(1 - q)` are log-sigmoids and the focal factor is `exp(gamma * log(1 - q))`, so
    that neither the loss nor its gradient meets 0 * inf: finite for gamma < 1 and any finite logit.

    Args:
        logits_BL: floating point; the loss is computed in this dtype. Not written to.
        positive_BL: bool targets.
        weights: w, broadcastable to [B, L].
        gamma: focal exponent, at least 0.
        shift_L: v; None: 0.
        lambda_: scale of negative logits, above 0.
        divide_negatives: False leaves c at 1, as the released NTR-FL does (DESIGN D2).

    Returns:
        A scalar of the dtype of the logits.
    """
    shifted_BL = logits_BL if shift_L is None else logits_BL - shift_L
    # how far the logit lies on the right side: q = sigmoid(margin)
    margin_BL = torch.where(positive_BL, shifted_BL, -lambda_ * shifted_BL)
    loss_BL = -logsigmoid(margin_BL)
    if gamma != 0.0:
        loss_BL = loss_BL * torch.exp(gamma * logsigmoid(-margin_BL))
    if divide_negatives and lambda_ != 1.0:
        loss_BL = torch.where(positive_BL, loss_BL, loss_BL / lambda_)
    return (loss_BL * weights).mean()
