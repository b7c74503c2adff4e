"""Tune's callback that writes the journal.

Tune pickles callbacks when the Tuner is built and then goes on with the live object: what cannot
be pickled (the journal's listeners) is left out of the pickle, which nothing ever reads.
An exception that leaves a callback would end the whole search: none does. Tune passes keywords.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.checkpoints import drop_checkpoint, has_checkpoint
from search.events import EventLog
from search.journal import finite_metrics
from search.live_trials import LiveTrials, drop_statistics, is_over
from search.outcome import Outcome, broke_down, one_line, outcome_of_error, outcome_of_result
from search.record_errors import innermost
from search.study import Proposal
from search.winner import drop_stale_weights_of

_TUNE_KEYS = frozenset(
    {"training_iteration", "timestamp", "pid", "iterations_since_restore"}
    | {"time_this_iter_s", "time_total_s", "time_since_restore", "timesteps_total"}
)
_log = logging.getLogger(__name__)


class OpenTrials(Protocol):
    """Whom the recorder asks which trial is which: the study, but for a confirmation."""

    @property
    def num_open(self) -> int:
        """Trials asked for that have not ended."""

    def proposal(self, ray_trial_id: str) -> Proposal | None:
        """The open trial of that Ray id."""

    def finish(self, ray_trial_id: str, outcome: Outcome) -> None:
        """Note the end of a trial."""


class Recorder(Callback):
    """Writes what happens to trials, and tells the study of those that failed.

    Args:
        events: Where to write.
        study: Opened; shared with the searcher.
        epochs: Length of the longest trial.
        reduction_factor: Of ASHA.
        folder: Of the search: what a trial that is over leaves there, and nobody needs, goes.
        on_broken: Called once with a reason when the journal or the study cannot be written.
    """

    def __init__(
        self,
        events: EventLog,
        study: OpenTrials,
        *,
        epochs: int,
        reduction_factor: int,
        folder: Path,
        on_broken: Callable[[str], None],
    ) -> None:
        self._events = events
        self._study = study
        self._epochs = epochs
        self._reduction_factor = reduction_factor
        self._folder = folder
        self._on_broken = on_broken
        self._started: dict[str, Proposal] = {}
        self._ended: set[str] = set()
        self._live = LiveTrials()
        self._metrics: dict[int, dict[str, float]] = {}
        """Of the last epoch of each trial that runs."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, *, trial: Trial, **_: Any) -> None:
        """Note a trial's first start; its worker's second one is told by `on_trial_recover`."""
        self._guard(self._start, trial)

    def on_trial_result(self, *, trial: Trial, result: dict[str, Any], **_: Any) -> None:
        """Note an epoch."""
        self._guard(self._epoch, trial, result)

    def on_trial_complete(self, *, trial: Trial, **_: Any) -> None:
        """Note an end that is no error."""
        self._guard(self._complete, trial)

    def on_trial_recover(self, *, trial: Trial, **_: Any) -> None:
        """Note that a trial starts again, after an error: it will tell of all its epochs anew."""
        self._guard(self._recover, trial)

    def on_trial_error(self, *, trial: Trial, **_: Any) -> None:
        """Note an error, in the study too."""
        self._guard(self._error, trial)

    def on_step_end(self, *, trials: Sequence[Trial], **_: Any) -> None:
        """Catch the error that Tune tells nobody: an actor that could not be reset."""
        for trial in self._live.update(trials):
            if trial.status == Trial.ERROR and trial.trial_id not in self._ended:
                self._guard(self._error, trial)
            if is_over(trial):
                drop_statistics(trial)

    def _guard(self, note: Callable[..., None], *args: Any) -> None:
        try:
            note(*args)
        except Exception as error:  # noqa: BLE001  whatever it is, Tune must not see it
            _log.debug("recorder", exc_info=True)
            self._on_broken(f"cannot record the search: {innermost(error)}")

    def _start(self, trial: Trial) -> None:
        proposal = self._study.proposal(trial.trial_id)
        if proposal is None or trial.trial_id in self._started:
            return
        self._started[trial.trial_id] = proposal
        resumes = {} if proposal.resumes is None else {"resumes": proposal.resumes}
        self._tell(
            proposal,
            "started",
            params=dict(proposal.params),
            ray_trial_id=trial.trial_id,
            **resumes,
        )

    def _epoch(self, trial: Trial, result: dict[str, Any]) -> None:
        proposal = self._started.get(trial.trial_id)
        if proposal is None:
            return
        if result.get("restarted"):
            self._restart(proposal, one_line(result["restarted"]))
        note = one_line(result.get("note") or "")
        if note:
            _log.warning("trial %d %s", proposal.number, note)
        # an epoch on which the trial broke down has no scores: `trial_ended` tells of it
        if broke_down(result):
            return
        metrics = {k: v for k, v in finite_metrics(result).items() if k not in _TUNE_KEYS}
        epoch = int(metrics.pop("epoch"))
        self._tell(proposal, "epoch", epoch=epoch, metrics=metrics, **_noted(note))
        self._metrics[proposal.number] = metrics

    def _complete(self, trial: Trial) -> None:
        result = trial.last_result
        proposal = self._started.get(trial.trial_id)
        if proposal is not None and result and "epoch" in result:
            outcome = outcome_of_result(
                result,
                epochs=proposal.epochs(self._epochs),
                reduction_factor=self._reduction_factor,
            )
            self._end(trial, outcome, str(result.get("note") or ""))

    def _recover(self, trial: Trial) -> None:
        proposal = self._started.get(trial.trial_id)
        if proposal is None:
            return
        outcome = _error_of(trial)
        reason = outcome.reason
        if outcome.status == "out_of_memory":  # Ray ended its worker, before the machine did
            trial.config["halved"] = True
            reason = f"out of memory, goes on with half the micro-batch: {reason}"
        self._restart(proposal, reason)

    def _restart(self, proposal: Proposal, reason: str) -> None:
        self._tell(proposal, "restarted", reason=reason)
        self._metrics.pop(proposal.number, None)
        self._clean_restarted(proposal)

    def _error(self, trial: Trial) -> None:
        outcome = _error_of(trial)
        self._start(trial)  # a trial whose worker never came up is told too
        self._study.finish(trial.trial_id, outcome)
        self._end(trial, outcome)

    def _end(self, trial: Trial, outcome: Outcome, note: str = "") -> None:
        proposal = self._started.get(trial.trial_id)
        if proposal is None or trial.trial_id in self._ended:
            return
        self._ended.add(trial.trial_id)
        self._tell(
            proposal,
            "ended",
            status=outcome.status,
            reason=outcome.reason,
            **_noted(one_line(note)),
        )
        self._clean_ended(proposal)

    def _tell(self, proposal: Proposal, what: str, **fields: Any) -> None:
        """Write an event about a trial that `started`, `restarted`, `ended`, or did an `epoch`."""
        kind = what if what == "epoch" else f"trial_{what}"
        self._events.emit(kind, trial=proposal.number, **fields)

    def _clean_restarted(self, proposal: Proposal) -> None:
        """Before a trial starts again after an error."""
        if not has_checkpoint(self._folder, proposal.number):
            drop_stale_weights_of(self._folder, proposal.number, None)

    def _clean_ended(self, proposal: Proposal) -> None:
        drop_checkpoint(self._folder, proposal.number)
        # its worker may have died between the weights and the result
        drop_stale_weights_of(
            self._folder, proposal.number, self._metrics.pop(proposal.number, None)
        )


def _noted(note: str) -> dict[str, str]:
    return {"note": note} if note else {}


def _error_of(trial: Trial) -> Outcome:
    """The trial's last error, from the text that Tune keeps on the driver."""
    path = trial.error_file
    text = Path(path).read_text(errors="replace") if path and Path(path).exists() else ""
    return outcome_of_error(text.rpartition("Failure # ")[2])
