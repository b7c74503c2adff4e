"""The dimensions that the losses share: ranges, reasons and the paper's values.

Ranges are centred on the paper's value where the paper or later work gives no better reason;
a logarithmic one has it as its geometric centre. Sources: docs/losses.md.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from spaces.dimension import Dimension
from trainable.config import PAPER_LOSS_VALUES

PAPER_LEARNING_RATE: Final = 1e-4

LEARNING_RATE: Final = Dimension(
    name="learning_rate",
    low=1e-5,
    high=1e-3,
    log=True,
    role="nuisance",
    paper=PAPER_LEARNING_RATE,
    reason=(
        "ten times below and above the released code's 1e-4; BERT-base wants the lower half, "
        "small encoders the upper"
    ),
)

HEAD_LEARNING_RATE: Final = 1e-3
"""Where a head on frozen features starts: the paper trains none."""

LEARNING_RATES: Final[Mapping[str, Dimension]] = MappingProxyType(
    {
        "all": LEARNING_RATE,
        "head": Dimension(
            name="learning_rate",
            low=1e-4,
            high=1e-2,
            log=True,
            role="nuisance",
            paper=HEAD_LEARNING_RATE,
            reason="ten times the range of a whole encoder: a new head on features that stay",
        ),
    }
)
"""By `TrialConfig.tune`."""

PAPER_MU: Final = 0.9
"""The paper's mu for Reuters; its rule gives 0.906 (DESIGN D3)."""

_MU_HALF_WIDTH: Final = 0.1


def _scientific(
    name: str,
    reason: str,
    *,
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    choices: tuple[float, ...] | None = None,
) -> Dimension:
    return Dimension(
        name=name,
        low=low,
        high=high,
        log=log,
        choices=choices,
        role="scientific",
        paper=PAPER_LOSS_VALUES[name],
        reason=reason,
    )


LOSS_DIMENSIONS: Final[Mapping[str, Dimension]] = MappingProxyType(
    {
        "gamma": _scientific(
            "gamma",
            "0 is no focal factor; above 4 hardly anything but outliers is learnt from",
            low=0.0,
            high=4.0,
        ),
        # What matters is 1 / (1 - cb_beta), the count at which the weight flattens. A uniform range
        # would spend nearly all draws below 100 documents, so: the decades of Cui et al. 2019.
        "cb_beta": _scientific(
            "cb_beta",
            "weights flatten at 1 / (1 - cb_beta) documents: 10, 100, 1,000, 10,000",
            choices=(0.9, 0.99, 0.999, 0.9999),
        ),
        "alpha": _scientific(
            "alpha",
            "weights reach from alpha to alpha + 1: 51-fold at 0.02, 3-fold at 0.5",
            low=0.02,
            high=0.5,
            log=True,
        ),
        "beta": _scientific(
            "beta",
            "slope at mu: nearly a straight line at 2.5, nearly a step at 40",
            low=2.5,
            high=40.0,
            log=True,
        ),
        "kappa": _scientific(
            "kappa",
            "shift in units of the prior log-odds: next to none at 0.005, half of them at 0.5",
            low=0.005,
            high=0.5,
            log=True,
        ),
        "lambda_": _scientific(
            "lambda_",
            "1 treats negatives as positives; at 5 a negative is forgotten soon after it is right",
            low=1.0,
            high=5.0,
            log=True,
        ),
    }
)


def mu_dimension(mu: float | None) -> Dimension:
    """`mu` around the estimate from the training labels, within [0, 1], the range of r.

    Without an estimate: around the paper's value for Reuters.
    """
    centre = PAPER_MU if mu is None else mu
    origin = "the paper's value for Reuters" if mu is None else f"the data estimate {mu:.4g}"
    return Dimension(
        name="mu",
        low=max(0.0, centre - _MU_HALF_WIDTH),
        high=min(1.0, centre + _MU_HALF_WIDTH),
        role="scientific",
        paper=centre,
        reason=f"{_MU_HALF_WIDTH} around {origin}, (mean + median) / 2 of r over positive pairs",
    )
