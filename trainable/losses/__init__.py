"""The eight losses of Huang et al. 2021, one family (DESIGN D1).

    loss = weighting (none, class-balanced, rebalanced)      weights.py
         x focal factor (gamma)                              family.py
         x negative-tolerant shift (kappa, lambda_)          shift.py

`released` is the arithmetic of the authors' released code, which produced the published table;
`paper` is the printed formula. They differ (DESIGN D2) by constant factors - 0.5 on every focal
loss and on db-0fl, 10 on cb and cb-ntr - and in ntr-fl, where `released` leaves out the 1 / lambda_
on negatives. Written from the formulas and from test vectors; docs/losses.md has the table.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainable.config import (
    LOSS_FORMULAS,
    LOSS_HYPERPARAMETERS,
    PAPER_LOSS_VALUES,
    setting_range,
)
from trainable.errors import UsageError, unknown_name
from trainable.losses.family import long_tail_loss
from trainable.losses.shift import prior_shift
from trainable.losses.weights import class_balanced_weights, rebalanced_weights

LOSSES: Final[tuple[str, ...]] = tuple(LOSS_HYPERPARAMETERS)
"""The paper's abbreviations, in the order of its table 2."""

LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """Where a loss stands in the family; gamma and the shift are read from its hyperparameters."""

    weighting: Literal["none", "class_balanced", "rebalanced"] = "none"
    released_factor: float
    """Constant factor of the released code that the paper does not print."""
    released_divides_negatives: bool = True


_MEMBERS: Final[Mapping[str, _Member]] = MappingProxyType(
    {
        "bce": _Member(released_factor=1.0),
        "fl": _Member(released_factor=0.5),
        "cb": _Member(weighting="class_balanced", released_factor=0.5 * 10),
        "r-fl": _Member(weighting="rebalanced", released_factor=0.5),
        "ntr-fl": _Member(released_factor=0.5, released_divides_negatives=False),
        "db-0fl": _Member(weighting="rebalanced", released_factor=0.5),
        "cb-ntr": _Member(weighting="class_balanced", released_factor=0.5 * 10),
        "db": _Member(weighting="rebalanced", released_factor=0.5),
    }
)


def build_loss(
    name: str,
    *,
    label_counts: Sequence[int] | npt.NDArray[np.int64] | Tensor,
    num_examples: int,
    formula: str = "released",
    **hyperparameters: float | None,
) -> LossFunction:
    """Build a loss: a pure function of `(logits_BL, targets_BL)`, a mean over B x L.

    The function takes logits of any floating dtype on any device and targets of 0 and 1 (bool,
    integer or float), and returns a scalar: float64 for float64 logits, else float32, whatever the
    autocast. It writes to neither argument.

    Args:
        name: one of `LOSSES`.
        label_counts: training documents per label, [L], each in [0, num_examples]; used clamped to
            [1, num_examples - 1] (DESIGN D4).
        num_examples: training documents, at least 2.
        formula: `released` or `paper`.
        hyperparameters: of this loss (`trainable.config.LOSS_HYPERPARAMETERS`). One that is left
            out or None has the paper's value, except `mu`, which depends on the data.

    Raises:
        UsageError: an unknown loss or formula, a hyperparameter that is unknown, not used by this
            loss or out of its range, no `mu` for r-fl, db-0fl or db, impossible counts.
    """
    if name not in _MEMBERS:
        raise unknown_name("loss", name, LOSSES)
    if formula not in LOSS_FORMULAS:
        raise unknown_name("loss formula", formula, LOSS_FORMULAS)
    values = _complete(name, hyperparameters)
    counts_L = _checked_counts(label_counts, num_examples)
    return _Loss(_MEMBERS[name], formula == "released", values, counts_L, num_examples)


class _Loss:
    """A built loss; its statistics are moved once to each device and dtype that it meets."""

    def __init__(
        self,
        member: _Member,
        released: bool,
        values: Mapping[str, float],
        counts_L: Tensor,
        num_examples: int,
    ) -> None:
        self._member = member
        self._values = dict(values)
        self._factor = member.released_factor if released else 1.0
        self._divide_negatives = member.released_divides_negatives or not released
        self._statistics: dict[str, Tensor] = {}
        if "kappa" in values:
            self._statistics["shift"] = prior_shift(counts_L, num_examples, values["kappa"])
        if member.weighting == "class_balanced":
            weights_L = class_balanced_weights(counts_L, values["cb_beta"])
            self._statistics["weights"] = weights_L * self._factor
        if member.weighting == "rebalanced":
            self._statistics["inverse_counts"] = 1.0 / counts_L
        self._moved: dict[tuple[torch.device, torch.dtype], dict[str, Tensor]] = {}

    def __call__(self, logits_BL: Tensor, targets_BL: Tensor) -> Tensor:
        if logits_BL.shape != targets_BL.shape:
            raise ValueError(
                f"logits and targets must have one shape, got {tuple(logits_BL.shape)} "
                f"and {tuple(targets_BL.shape)}"
            )
        if logits_BL.dtype != torch.float64:
            logits_BL = logits_BL.float()
        positive_BL = targets_BL > 0.5
        with torch.autocast(logits_BL.device.type, enabled=False):
            statistics = self._statistics_like(logits_BL)
            return long_tail_loss(
                logits_BL,
                positive_BL,
                weights=self._weights(positive_BL, statistics),
                gamma=self._values.get("gamma", 0.0),
                shift_L=statistics.get("shift"),
                lambda_=self._values.get("lambda_", 1.0),
                divide_negatives=self._divide_negatives,
            )

    def _weights(self, positive_BL: Tensor, statistics: Mapping[str, Tensor]) -> Tensor | float:
        """The weights of the formula times the constant factor."""
        if self._member.weighting == "class_balanced":
            return statistics["weights"]
        if self._member.weighting == "none":
            return self._factor
        return self._factor * rebalanced_weights(
            positive_BL,
            statistics["inverse_counts"],
            alpha=self._values["alpha"],
            beta=self._values["beta"],
            mu=self._values["mu"],
        )

    def _statistics_like(self, logits_BL: Tensor) -> dict[str, Tensor]:
        key = (logits_BL.device, logits_BL.dtype)
        if key not in self._moved:
            # a copy made under inference mode could not be saved for backward later
            with torch.inference_mode(False):
                self._moved[key] = {
                    name: value.to(device=key[0], dtype=key[1])
                    for name, value in self._statistics.items()
                }
        return self._moved[key]


def _complete(name: str, given: Mapping[str, float | None]) -> dict[str, float]:
    """The value of every hyperparameter of the loss, in the order of its formula."""
    used = LOSS_HYPERPARAMETERS[name]
    for key, value in given.items():
        if key not in (*PAPER_LOSS_VALUES, "mu"):
            raise unknown_name("loss hyperparameter", key, (*PAPER_LOSS_VALUES, "mu"))
        if key not in used:
            raise UsageError(
                f"loss '{name}' has no hyperparameter '{key}': "
                f"its formula uses {', '.join(used) or 'none'}; leave '{key}' out"
            )
        if value is not None:
            _check_range(key, value)
    if "mu" in used and given.get("mu") is None:
        raise UsageError(
            f"loss '{name}' needs 'mu', which depends on the data: "
            "pass the mu_estimate of trainable.label_stats.label_stats (Reuters: 0.906)"
        )
    values = {key: given.get(key) for key in used}
    return {
        key: PAPER_LOSS_VALUES[key] if value is None else float(value)
        for key, value in values.items()
    }


def _check_range(key: str, value: float) -> None:
    limits = setting_range(key)
    if limits is None:
        raise AssertionError(f"no range for the loss hyperparameter {key}")
    low, high, low_in, high_in = limits
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise UsageError(f"loss hyperparameter '{key}' must be a number, got {value!r}")
    inside = low < value < high or (low_in and value == low) or (high_in and value == high)
    if not inside:
        brackets = "[" if low_in else "(", "]" if high_in else ")"
        raise UsageError(
            f"loss hyperparameter '{key}' must lie in "
            f"{brackets[0]}{low:g}, {high:g}{brackets[1]}, got {value!r}"
        )


def _checked_counts(
    label_counts: Sequence[int] | npt.NDArray[np.int64] | Tensor, num_examples: int
) -> Tensor:
    """[L] float64 on the CPU, clamped to [1, num_examples - 1]."""
    if num_examples < 2:
        raise UsageError(
            f"a loss needs at least 2 training documents to count labels in, got {num_examples}"
        )
    if isinstance(label_counts, Tensor):
        label_counts = label_counts.cpu().numpy()
    counts = np.asarray(label_counts, dtype=np.float64)
    if counts.ndim != 1 or counts.size == 0:
        raise UsageError(f"label_counts must be one number per label, got shape {counts.shape}")
    wrong = ~((counts >= 0) & (counts <= num_examples))
    if wrong.any():
        label = int(np.flatnonzero(wrong)[0])
        raise UsageError(
            f"label_counts must lie in [0, {num_examples}], the number of training documents, "
            f"got {_plain(counts[label])} for label {label}"
        )
    return torch.from_numpy(counts.clip(1, num_examples - 1))


def _plain(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)
