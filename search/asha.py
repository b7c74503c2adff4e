"""ASHA, stopping type (Li et al. 2020, arXiv:1810.05934), as a Tune scheduler.

A trial is judged when it reaches a rung: it goes on if it is among the best 1/reduction_factor of
all trials that have come there, itself included. Tune's AsyncHyperBandScheduler does this too, but
compares a trial with those before it only, so that the first ones at a rung go on however they
are; keeps every trial of a rung whose cutoff is 0; judges a trial that passes two rungs at once at
the upper one only, and at the lower one later, with a later score; and counts the score of an epoch
that failed. It never saves its rungs; neither does this one: `remember` fills them from the study.

What was traded away: trials that were stopped do not come back (promotion, with paused trials, was
measured on real curves and is not better enough: docs/LOG.md), and there is one bracket.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.live_trials import LooksAtLiveTrials
from trainable.config import BEST_OBJECTIVE


def goes_on(
    value: float, at_rung: Collection[float], *, reduction_factor: int, first_rung: bool
) -> bool:
    """Whether a trial with `value` passes a rung.

    Equal scores are treated alike: where some of them are among the best and some are not, all go
    on. But for 0, which says that nothing was predicted yet: such a trial gets the benefit of
    the doubt at the first rung, and later only while nobody at the rung is better.

    Args:
        value: Of the trial, finite.
        at_rung: Values of all trials that have reached the rung, this one's among them.
        reduction_factor: The best 1/reduction_factor are kept, and at least one trial.
        first_rung: Whether it is the lowest one.

    >>> [goes_on(v, [0.1, 0.2, 0.3], reduction_factor=3, first_rung=True) for v in (0.2, 0.3)]
    [False, True]
    """
    kept = max(1, len(at_rung) // reduction_factor)
    better = sum(other > value for other in at_rung)
    tied = sum(other == value for other in at_rung)
    if better + tied <= kept:
        return True
    if better >= kept:
        return False
    return value > 0 or first_rung or better == 0


class Asha(LooksAtLiveTrials, FIFOScheduler):
    """Judges each trial at each rung exactly once, in order.

    Args:
        rungs: Epochs, ascending; may be empty.
        reduction_factor: At least 2.
    """

    _metric = BEST_OBJECTIVE

    def __init__(self, rungs: Sequence[int], reduction_factor: int) -> None:
        super().__init__()
        self._reduction_factor = reduction_factor
        self._rungs: dict[int, dict[str, float]] = {rung: {} for rung in sorted(rungs)}
        self._passed: dict[str, int] = {}
        """The last rung that a trial was judged at."""

    @property
    def rungs(self) -> Mapping[int, Mapping[str, float]]:
        """Value of each trial that has reached a rung, by rung and trial."""
        return self._rungs

    def remember(self, trial_id: str, values: Mapping[int, float]) -> None:
        """Take in a trial of the past: `values` by epoch, as the study has them."""
        for rung, at_rung in self._rungs.items():
            if rung in values:
                at_rung[trial_id] = values[rung]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        """STOP a trial that fails a rung, or has no finite score."""
        epoch, value = int(result["epoch"]), float(result[BEST_OBJECTIVE])
        if not math.isfinite(value) or not self._judge(trial.trial_id, epoch, value):
            return TrialScheduler.STOP
        return TrialScheduler.CONTINUE

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:  # noqa: ARG002
        """Keep the score of a trial whose last epoch is a rung, unless that epoch failed."""
        value = float(result.get(BEST_OBJECTIVE, math.nan))
        if math.isfinite(value) and not result.get("end_status"):
            self._judge(trial.trial_id, int(result["epoch"]), value)

    def debug_string(self) -> str:
        """How many trials have reached each rung."""
        counts = ", ".join(f"{len(seen)} at epoch {rung}" for rung, seen in self._rungs.items())
        return f"ASHA: {counts or 'no rungs'}"

    def _judge(self, trial_id: str, epoch: int, value: float) -> bool:
        """Whether the trial passes all rungs that it has come to since it was judged last.

        Only a rung that it is exactly at keeps its value: one that it jumped over would compare
        others with a score of more epochs.
        """
        first = min(self._rungs, default=0)
        for rung, at_rung in self._rungs.items():
            if not self._passed.get(trial_id, 0) < rung <= epoch:
                continue
            self._passed[trial_id] = rung
            if rung == epoch:
                at_rung[trial_id] = value
            others = {**at_rung, trial_id: value}.values()
            if not goes_on(
                value,
                others,
                reduction_factor=self._reduction_factor,
                first_rung=rung == first,
            ):
                return False
        return True
