"""The Optuna study of a search: what was proposed, and what became of it.

It lies in `study.db` (SQLite) in the search folder. SQLite rather than Optuna's journal file: over
25 kills with SIGKILL the database reopened every time within 1.3 s, while a killed journal file
leaves its lock behind, which the next opening waits for, up to half a minute; SQLite's price, some
50 ms a trial, is nothing beside training.

Numbers are Optuna's. A trial is proposed from (seed, number of trials asked for before it, ends
told so far) alone. An interrupted trial and its rerun count once: a search that was killed, and had
one trial at a time, goes on with the proposals that it would have made. States:

    COMPLETE  completed; its value is the objective of the best epoch
    PRUNED    stopped by ASHA; intermediate values up to and with the epoch that it was stopped on
    FAIL      diverged, out_of_memory, failed, or interrupted (user attribute `status`)
"""

import dataclasses
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from search.outcome import INTERRUPTED, Outcome
from spaces import Space

STUDY_FILE: Final = "study.db"
_LOCK_TIMEOUT_S: Final = 60
_RANDOM_TRIALS: Final = (4, 10)
"""Fewest, and most (Optuna's own number)."""
_STATES: Final = {"completed": TrialState.COMPLETE, "stopped": TrialState.PRUNED}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A trial that was asked for and has not ended."""

    number: int
    params: Mapping[str, Any]
    resumes: int | None
    """Number of the interrupted trial that this one runs again."""

    def epochs(self, longest: int) -> int:
        """Length of the complete trial: sampled, or that of all."""
        return int(self.params.get("epochs", longest))


def startup_trials(trials: int) -> int:
    """How many of a search's `trials` must have ended before TPE takes over from random draws.

    A quarter: with Optuna's 10, a search of 12 trials would be a random one.

    >>> startup_trials(6), startup_trials(32), startup_trials(100)
    (4, 8, 10)
    """
    fewest, most = _RANDOM_TRIALS
    return min(max(trials // 4, fewest), most)


class SearchStudy:
    """Ask and tell, on disk. Pickles as its address only: Tune pickles what holds it.

    Args:
        folder: Of the search.
        name: Of the search and the study.
        space: What is sampled.
        seed: Of the sampler.
        startup_trials: Random draws before TPE begins.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        space: Space,
        seed: int,
        startup_trials: int = _RANDOM_TRIALS[1],
    ) -> None:
        self.folder, self.name, self.space, self.seed = folder, name, space, seed
        self._startup_trials = startup_trials
        self._study: optuna.Study | None = None
        self._open: dict[str, tuple[Proposal, optuna.Trial]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_study": None, "_open": {}}

    def open(self, *points: Mapping[str, Any]) -> None:
        """Create the study with `points` as its first trials, or go on with the one there is.

        Trials that an earlier attempt left running are told as interrupted, and every interrupted
        trial that was not run again yet is enqueued with its parameters.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{self.folder / STUDY_FILE}",
            engine_kwargs={"connect_args": {"timeout": _LOCK_TIMEOUT_S}},
        )
        self._study = optuna.create_study(
            storage=storage, study_name=self.name, direction="maximize", load_if_exists=True
        )
        self.interrupt_open()
        trials = self.trials
        if all(trial.state == TrialState.WAITING for trial in trials):
            for point in points[len(trials) :]:  # killed between two of them: the rest
                self._study.enqueue_trial(dict(point))
        resumed = {trial.user_attrs.get("resumes") for trial in trials}
        for trial in trials:
            if _is_interrupted(trial) and trial.number not in resumed:
                # killed while it was sampled: nobody has seen what it drew, and it draws the same
                # again if it draws all of it; what it was given comes back either way
                drawn = trial.params if "ray_trial_id" in trial.user_attrs else {}
                self._study.enqueue_trial(
                    {**trial.system_attrs.get("fixed_params", {}), **drawn},
                    user_attrs={"resumes": trial.number},
                )

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials of the study, by number."""
        return self._opened.get_trials(deepcopy=False)

    @property
    def ended(self) -> list[FrozenTrial]:
        """The trials that ended, however, but for interruption."""
        return [t for t in self.trials if t.state.is_finished() and not _is_interrupted(t)]

    def predecessors(self, number: int) -> tuple[int, ...]:
        """The interrupted trials that trial `number` runs again, the latest first."""
        trials = self.trials
        found: list[int] = []
        while (number := trials[number].user_attrs.get("resumes", -1)) >= 0:
            found.append(number)
        return tuple(found)

    @property
    def waiting(self) -> list[int]:
        """Numbers of the trials that are proposed and nobody has asked for."""
        return [trial.number for trial in self.trials if trial.state == TrialState.WAITING]

    @property
    def num_open(self) -> int:
        """Trials asked for by this process that have not ended."""
        return len(self._open)

    def proposal(self, ray_trial_id: str) -> Proposal | None:
        """The open trial of that Ray id."""
        entry = self._open.get(ray_trial_id)
        return entry[0] if entry else None

    def ask(self, ray_trial_id: str) -> Proposal:
        """The next trial: an enqueued one, else one that TPE proposes."""
        study = self._opened
        with _quiet():
            study.sampler = self._sampler()
            trial = study.ask()
            params = self.space.sample(trial)
        trial.set_user_attr("ray_trial_id", ray_trial_id)
        proposal = Proposal(
            number=trial.number, params=params, resumes=trial.user_attrs.get("resumes")
        )
        self._open[ray_trial_id] = (proposal, trial)
        return proposal

    def report(self, ray_trial_id: str, epoch: int, value: float) -> None:
        """Note the running best after `epoch`; a second report of an epoch is ignored."""
        entry = self._open.get(ray_trial_id)
        if entry is None or not math.isfinite(value):
            return
        number = entry[0].number
        if epoch not in self.trials[number].intermediate_values:
            entry[1].report(value, epoch)

    def finish(self, ray_trial_id: str, outcome: Outcome, value: float | None = None) -> None:
        """Tell the end of a trial; a trial that has ended already is left alone.

        Args:
            ray_trial_id: Of the trial; an unknown one is ignored.
            outcome: How it ended.
            value: Objective of the best epoch; needed for `completed`.
        """
        entry = self._open.pop(ray_trial_id, None)
        if entry is not None:
            self._tell(entry[0].number, outcome, value)

    def interrupt_open(self) -> None:
        """Tell every trial that still runs as interrupted: nothing stays RUNNING."""
        self._open.clear()
        for trial in self.trials:
            if trial.state == TrialState.RUNNING:
                self._tell(trial.number, Outcome(INTERRUPTED, "the search ended before it"), None)

    @property
    def _opened(self) -> optuna.Study:
        assert self._study is not None, "open() comes first"
        return self._study

    def _tell(self, number: int, outcome: Outcome, value: float | None) -> None:
        study, trial = self._opened, self.trials[number]
        if trial.state != TrialState.RUNNING:
            return
        for key in ("status", "reason"):
            study._storage.set_trial_user_attr(trial._trial_id, key, getattr(outcome, key))
        state = _STATES.get(outcome.status, TrialState.FAIL)
        if state == TrialState.COMPLETE and (value is None or not math.isfinite(value)):
            state = TrialState.FAIL
        study.tell(number, value if state == TrialState.COMPLETE else None, state=state)

    def _sampler(self) -> optuna.samplers.BaseSampler:
        asked = sum(
            trial.state != TrialState.WAITING and not _is_interrupted(trial)
            for trial in self.trials
        )
        seed = int(np.random.SeedSequence([self.seed, asked]).generate_state(1)[0])
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=self._startup_trials,
            multivariate=True,
            group=True,
            constant_liar=True,
        )


def _is_interrupted(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and trial.user_attrs.get("status") == INTERRUPTED


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warning that `group` is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
