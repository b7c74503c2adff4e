"""AdamW with weight decay where it belongs, and the learning rate of each step."""

from typing import Final

import torch
from torch import Tensor, nn

from trainable.config import TrialConfig

_EPSILON: Final = 1e-6
"""As in the released code's optimiser; over 18,211 labels gradients are small enough to matter."""


def build_optimizer(model: nn.Module, config: TrialConfig) -> torch.optim.AdamW:
    """AdamW; biases and LayerNorm do not decay.

    (The released code passes `weight_decay_rate`, which AdamW ignores: it decayed nothing.)
    """
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            spared = name == "bias" or isinstance(module, nn.LayerNorm)
            (kept if spared else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    on_cuda = next(model.parameters()).is_cuda  # where a step may become part of a graph
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, eps=_EPSILON, fused=True, capturable=on_cuda
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float | Tensor) -> None:
    """Use `learning_rate` in the next step, for all parameters; a scalar tensor is not copied."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def learning_rate_at(step: int, *, total_steps: int, config: TrialConfig) -> float:
    """The learning rate of step `step`, counted from 0.

    Warm-up climbs from one share of the peak to all of it; then the rate stays (`constant`) or
    falls in equal parts, to reach zero after the last step (`linear`). The horizon is
    `config.epochs` for every trial: a rung compares trials at the same point of the schedule.

    Args:
        step: in [0, total_steps).
        total_steps: of the whole training, `config.epochs` epochs.
        config: `learning_rate`, `warmup_fraction`, `lr_schedule`.
    """
    warmup_steps = round(config.warmup_fraction * total_steps)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    if config.lr_schedule == "constant":
        return config.learning_rate
    return config.learning_rate * (total_steps - step) / (total_steps - warmup_steps)
