"""Optuna behind Tune's Searcher.

Tune's own OptunaSearch tells a trial that ASHA stopped as COMPLETE with its last value, leaves
diverged and interrupted trials RUNNING for ever (and TPE then avoids their surroundings), and
never reports the epoch that a trial was stopped on. This one tells each trial as what it was.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from search.checkpoints import CHECKPOINTS_FOLDER
from search.outcome import outcome_of_result
from search.record_errors import innermost, storage_failures
from search.study import SearchStudy
from search.winner import WEIGHTS_FOLDER
from trainable.config import BEST_OBJECTIVE, TrialConfig


class StudySearcher(Searcher):
    """Proposes trials from the study and tells it their ends, but for errors.

    Tune gives a searcher no reason for an error: the recorder, which has it, tells those.

    Args:
        study: Opened.
        trial_config: From sampled params to a complete configuration (`SearchSpec.trial_config`).
        epochs: Length of the longest trial.
        reduction_factor: Of ASHA.
        folder: Of the search; trials keep weights and checkpoints there. None: nowhere.
        checkpoint_every: Epochs between two checkpoints of a trial; 0: none is written.
        enough: Whether no more trials should be proposed; those that run go on.
        on_broken: Called with a reason when the study cannot be written: an error that reached Tune
            would end its loop, and every trial with it, without a word. None: errors are raised.
    """

    def __init__(
        self,
        study: SearchStudy,
        trial_config: Callable[[Mapping[str, Any]], TrialConfig],
        *,
        epochs: int,
        reduction_factor: int,
        folder: Path | None,
        checkpoint_every: int = 0,
        enough: Callable[[], bool] = lambda: False,
        on_broken: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(metric=BEST_OBJECTIVE, mode="max")
        self.study = study
        self._trial_config = trial_config
        self._epochs = epochs
        self._reduction_factor = reduction_factor
        self._folder = folder
        self._checkpoint_every = checkpoint_every
        self._enough = enough
        self._on_broken = on_broken
        self._max_concurrent: int | None = None

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Limit the open trials here: Tune's limiter loses a slot to a failed actor reset."""
        self._max_concurrent = max_concurrent
        return True

    def __getstate__(self) -> dict[str, Any]:
        # nobody reads Tune's pickle; the spec behind `_trial_config` may hold passwords
        dropped = ("_trial_config", "_enough", "_on_broken")
        return {**self.__dict__, **dict.fromkeys(dropped)}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The Ray config of a new trial; None while enough of them run; FINISHED after the last."""
        with self._guarded():
            return self._suggest(trial_id)
        return None

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._enough():
            return None if self.study.num_open else Searcher.FINISHED
        if self._max_concurrent is not None and self.study.num_open >= self._max_concurrent:
            return None
        proposal = self.study.ask(trial_id)
        return {
            "number": proposal.number,
            "config": self._trial_config(proposal.params).to_mapping(),
            "weights_dir": self._path(WEIGHTS_FOLDER),
            "checkpoints_dir": self._path(CHECKPOINTS_FOLDER),
            "checkpoint_every": self._checkpoint_every,
            "resumes": list(self.study.predecessors(proposal.number)),
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report the running best of an epoch after which the trial goes on."""
        with self._guarded():
            self.study.report(trial_id, int(result["epoch"]), float(result[BEST_OBJECTIVE]))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the end of a trial, with the value of the epoch that it ended on."""
        if not error and result and "epoch" in result:
            with self._guarded():
                self._complete(trial_id, result)

    def _complete(self, trial_id: str, result: dict[str, Any]) -> None:
        proposal = self.study.proposal(trial_id)
        if proposal is None:
            return
        outcome = outcome_of_result(
            result,
            epochs=proposal.epochs(self._epochs),
            reduction_factor=self._reduction_factor,
        )
        value = float(result[BEST_OBJECTIVE])
        if outcome.status in ("completed", "stopped"):
            self.study.report(trial_id, int(result["epoch"]), value)
        scores = [float(result.get(f"best/{name}", math.nan)) for name in self.study.pareto]
        self.study.finish(trial_id, outcome, scores or [value])

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except storage_failures() as error:
            if self._on_broken is None:
                raise
            self._on_broken(f"cannot record the search: {innermost(error)}")

    def _path(self, name: str) -> str | None:
        return None if self._folder is None else str(self._folder / name)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is on disk already."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a search goes on by a new Tuner on the same study (DESIGN D16)."""
