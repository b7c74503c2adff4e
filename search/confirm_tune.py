"""What Tune sees of a confirmation: a searcher that hands out a list, and its recorder."""

import dataclasses
from collections import deque
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from search.confirm_folder import ConfirmFolder
from search.outcome import Outcome
from search.recorder import Recorder
from search.study import Proposal
from trainable.config import BEST_OBJECTIVE


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmProposal(Proposal):
    """A candidate, to be trained with one seed."""

    seed: int


class Candidates:
    """The runs that wait, and those that are open: what the study is to a search's trials."""

    def __init__(self, waiting: deque[ConfirmProposal]) -> None:
        self._waiting = waiting
        self._open: dict[str, ConfirmProposal] = {}

    @property
    def num_open(self) -> int:
        """Runs asked for that have not ended."""
        return len(self._open)

    def ask(self, ray_trial_id: str) -> ConfirmProposal | None:
        """The next run; None: there is none."""
        if not self._waiting:
            return None
        run = self._open[ray_trial_id] = self._waiting.popleft()
        return run

    def proposal(self, ray_trial_id: str) -> ConfirmProposal | None:
        """The open run of that Ray id."""
        return self._open.get(ray_trial_id)

    def finish(self, ray_trial_id: str, _: Outcome | None = None) -> None:
        """Close a run; an unknown one is ignored."""
        self._open.pop(ray_trial_id, None)


class RunSearcher(Searcher):
    """Hands out runs in their order, and learns nothing.

    Args:
        runs: What there is to run.
        ray_config: From a run to the config of its Tune trial.
    """

    def __init__(
        self, runs: Candidates, ray_config: Callable[[ConfirmProposal], dict[str, Any]]
    ) -> None:
        super().__init__(metric=BEST_OBJECTIVE, mode="max")
        self._runs = runs
        self._ray_config = ray_config
        self._max_concurrent: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        # nobody reads Tune's pickle; the spec behind `_ray_config` may hold passwords
        return {**self.__dict__, "_ray_config": None}

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Limit the open runs here: Tune's limiter loses a slot to a failed actor reset."""
        self._max_concurrent = max_concurrent
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The Ray config of the next run; None while enough of them are open."""
        if self._max_concurrent is not None and self._runs.num_open >= self._max_concurrent:
            return None
        run = self._runs.ask(trial_id)
        return Searcher.FINISHED if run is None else self._ray_config(run)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Close a run that ended without an error: the others are the recorder's."""
        if not error and result:
            self._runs.finish(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what has ended is in the journal."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a later attempt hands out what has not ended."""


class ConfirmRecorder(Recorder):
    """Writes the events of a confirmation."""

    def _tell(self, proposal: Proposal, what: str, **fields: Any) -> None:
        assert isinstance(proposal, ConfirmProposal), "asked for here"
        told = {k: v for k, v in fields.items() if k != "params"}  # the trial's, told long ago
        self._events.emit(f"confirm_{what}", trial=proposal.number, seed=proposal.seed, **told)

    def _clean_restarted(self, proposal: Proposal) -> None:
        self._own_folder(proposal).drop_stale()

    def _clean_ended(self, proposal: Proposal) -> None:
        self._own_folder(proposal).drop_checkpoints()

    def _own_folder(self, proposal: Proposal) -> ConfirmFolder:
        assert isinstance(proposal, ConfirmProposal), "asked for here"
        return ConfirmFolder.of(self._folder, (proposal.number, proposal.seed))
