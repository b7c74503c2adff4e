"""The best epoch of a trial so far (DESIGN D6), and the metrics that tell of it."""

import dataclasses
from collections.abc import Mapping

from trainable.config import BEST_OBJECTIVE


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BestEpoch:
    """The first epoch with the highest objective so far."""

    epoch: int
    """Counted from 1."""
    objective: float
    """`val/objective` at `threshold`."""
    threshold: float
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Validation scores of that epoch by the names of `trainable.objectives`, in [0, 1]."""


def best_metrics(best: BestEpoch | None) -> dict[str, float]:
    """`best/objective`, `best/epoch`, `best/threshold` and each score of that epoch.

    Without a best epoch: 0, at the threshold 0.5, and no scores.
    """
    best = best or BestEpoch(epoch=0, objective=0.0, threshold=0.5)
    return {
        BEST_OBJECTIVE: best.objective,
        "best/epoch": best.epoch,
        "best/threshold": best.threshold,
        **{f"best/{name}": score for name, score in best.scores.items()},
    }
