"""The negative-tolerant shift: each label's logit is moved by its prior log-odds.

Equations are those of Huang et al. 2021 (EMNLP, 2021.emnlp-main.643). Shapes: L labels.
"""

import torch
from torch import Tensor


def prior_shift(counts_L: Tensor, num_examples: int, kappa: float) -> Tensor:
    """The class-specific bias v that the loss subtracts from the logits (eq. 6, 7).

    `v_l = kappa * log(N / n_l - 1)`, that is minus kappa times the log-odds of the label's share
    n_l / N of the training documents: positive for labels in less than half of the documents, so
    that their logits must rise further. `kappa = 0` shifts nothing.

    Args:
        counts_L: training documents per label, in [1, N - 1] (DESIGN D4), float64.
        num_examples: N, training documents, at least 2.
        kappa: scale of the bias, at least 0.

    Returns:
        float64, finite, [L].
    """
    return kappa * torch.log(num_examples / counts_L - 1.0)
