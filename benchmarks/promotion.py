"""ASHA of the promotion type (Li et al. 2020, algorithm 2), for comparison in replays only.

A trial pauses at each rung, and goes on when it is among the best 1/reduction_factor of its rung
and nothing higher up waits. A real search would need a checkpoint of every paused trial.
"""

from collections.abc import Sequence
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from trainable.config import BEST_OBJECTIVE


class PromotionAsha(FIFOScheduler):
    """Pauses at rungs and promotes.

    Args:
        rungs: Epochs, ascending.
        reduction_factor: At least 2.
    """

    def __init__(self, rungs: Sequence[int], reduction_factor: int) -> None:
        super().__init__()
        self._reduction_factor = reduction_factor
        self._rungs: dict[int, dict[str, float]] = {rung: {} for rung in sorted(rungs)}
        self._promoted: dict[int, set[str]] = {rung: set() for rung in self._rungs}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        """PAUSE at a rung."""
        at_rung = self._rungs.get(result["epoch"])
        if at_rung is None:
            return TrialScheduler.CONTINUE
        at_rung[trial.trial_id] = result[BEST_OBJECTIVE]
        return TrialScheduler.PAUSE

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The best trial of the highest rung that may be promoted; else a new one."""
        trials = {trial.trial_id: trial for trial in tune_controller.get_trials()}
        for rung in sorted(self._rungs, reverse=True):
            at_rung = self._rungs[rung]
            best = sorted(at_rung, key=lambda name: -at_rung[name])
            for name in best[: len(best) // self._reduction_factor]:
                if name not in self._promoted[rung]:
                    self._promoted[rung].add(name)
                    if trials[name].status == "PAUSED":
                        return trials[name]
        return next((trial for trial in trials.values() if trial.status == "PENDING"), None)
