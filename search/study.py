"""The Optuna study of a search: what was proposed, and what became of it.

It lies in `study.db` (SQLite) in the search folder, or in the database that a team shares. SQLite
rather than Optuna's journal file: over 25 kills with SIGKILL the database reopened every time
within 1.3 s, while a killed journal file leaves its lock behind, which the next opening waits for,
up to half a minute.

Numbers are Optuna's. A trial is proposed from (seed, number of trials asked for before it, ends
told so far) alone. An interrupted trial and its rerun count once: a search that was killed, and had
one trial at a time, goes on with the proposals that it would have made (but that first points still
waiting are tried before a rerun). States:

    COMPLETE  completed; its value is the objective of the best epoch
    PRUNED    stopped by ASHA, or on request; intermediate values with the epoch it was stopped on
    FAIL      diverged, out_of_memory, failed, or interrupted (user attribute `status`)

With two scores to trade off (Pareto) a completed trial has both as its values; Optuna then takes no
intermediate values, so the curve that ASHA goes by stands in user attributes `epoch:N`.
"""

import dataclasses
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from search.outcome import INTERRUPTED, Outcome
from search.samplers import MOST_RANDOM, TPE, make_sampler
from search.study_storage import StudyMirror, open_storage
from search.warm_start import EarlierTrial, as_optuna
from spaces import Space
from trainable.errors import UsageError

STUDY_FILE: Final = "study.db"
_EPOCH: Final = "epoch:"
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


class SearchStudy:
    """Ask and tell, on disk. Pickles without its database: Tune writes what holds it to a file.

    Args:
        folder: Of the search.
        name: Of the search and the study.
        space: What is sampled.
        seed: Of the sampler.
        startup_trials: Random draws before the sampler's model begins.
        sampler: A name of `search.samplers`.
        pareto: Names of the scores to trade off; empty: the objective alone.
        storage: Address of a database; None: SQLite in the folder.
        earlier: Trials of other searches, for the sampler to learn from.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        space: Space,
        seed: int,
        startup_trials: int = MOST_RANDOM,
        sampler: str = TPE,
        pareto: tuple[str, ...] = (),
        storage: str | None = None,
        earlier: Sequence[EarlierTrial] = (),
    ) -> None:
        self.folder, self.name, self.space, self.seed = folder, name, space, seed
        self.pareto = pareto
        self._startup_trials = startup_trials
        self._sampler_name = sampler
        self._url = storage
        self._earlier = tuple(earlier)
        self._study: optuna.Study | None = None
        self._storage: StudyMirror | None = None
        self._asked = 0
        self._open: dict[str, tuple[Proposal, optuna.Trial]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # an address may hold a password
        return {**self.__dict__, "_study": None, "_storage": None, "_url": None, "_open": {}}

    def open(self, *points: Mapping[str, Any], new: bool = False) -> None:
        """Create the study with `points` as its first trials, or go on with the one there is.

        With `new` there must be none with trials: in a database that a team shares it would be
        another search's.

        Trials that an earlier attempt left running are told as interrupted, and every interrupted
        trial that was not run again yet is enqueued with its parameters.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = open_storage(self.folder / STUDY_FILE, self._url)
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=self.name,
            directions=["maximize"] * max(1, len(self.pareto)),
            load_if_exists=True,
        )
        if new and self.trials:
            raise UsageError(
                f"the database of --storage has a study '{self.name}' already: choose another "
                "--name"
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

    def close(self) -> None:
        """Let go of the database's connections; `open` may follow."""
        if self._storage is not None:
            self._storage.close()
        self._study, self._storage = None, None

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
        assert self._storage is not None, "open() comes first"
        with _quiet(), self._storage.whole_trials():
            study.sampler = self._sampler()
            trial = study.ask()
            params = self.space.sample(trial)
            trial.set_user_attr("ray_trial_id", ray_trial_id)
        self._asked += 1
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
        if epoch in curve_of(self.trials[entry[0].number]):
            return
        if self.pareto:
            entry[1].set_user_attr(f"{_EPOCH}{epoch}", value)
        else:
            entry[1].report(value, epoch)

    def finish(
        self, ray_trial_id: str, outcome: Outcome, values: Sequence[float] | None = None
    ) -> None:
        """Tell the end of a trial; a trial that has ended already is left alone.

        Args:
            ray_trial_id: Of the trial; an unknown one is ignored.
            outcome: How it ended.
            values: Of the best epoch, needed for `completed`: the objective, or each score of
                `pareto`.
        """
        entry = self._open.pop(ray_trial_id, None)
        if entry is not None:
            self._tell(entry[0].number, outcome, values)

    def interrupt_open(self) -> None:
        """Tell every trial that still runs as interrupted: nothing stays RUNNING."""
        self._open.clear()
        for trial in self.trials:
            if trial.state == TrialState.RUNNING:
                self._tell(trial.number, Outcome(INTERRUPTED, "the search ended before it"), None)
        self._asked = sum(
            trial.state != TrialState.WAITING and not _is_interrupted(trial)
            for trial in self.trials
        )

    @property
    def _opened(self) -> optuna.Study:
        assert self._study is not None, "open() comes first"
        return self._study

    def _tell(self, number: int, outcome: Outcome, values: Sequence[float] | None) -> None:
        study, trial = self._opened, self.trials[number]
        if trial.state != TrialState.RUNNING:
            return
        for key in ("status", "reason"):
            study._storage.set_trial_user_attr(trial._trial_id, key, getattr(outcome, key))
        state = _STATES.get(outcome.status, TrialState.FAIL)
        if state == TrialState.COMPLETE and not (values and all(map(math.isfinite, values))):
            state = TrialState.FAIL
        study.tell(number, values if state == TrialState.COMPLETE else None, state=state)

    def _sampler(self) -> optuna.samplers.BaseSampler:
        seed = int(np.random.SeedSequence([self.seed, self._asked]).generate_state(1)[0])
        return make_sampler(
            self._sampler_name,
            seed=seed,
            startup_trials=self._startup_trials,
            earlier=self._earlier_trials() if self._earlier else (),
        )

    def _earlier_trials(self) -> list[FrozenTrial]:
        """Those of other searches, on this one's scale once the paper's values have ended."""
        papers = dict(enumerate(self.space.losses))
        curves = {}
        for trial in self.trials:  # ascending: a rerun comes after what it reruns
            loss = papers.get(trial.user_attrs.get("resumes", trial.number))
            if loss is not None and trial.state.is_finished() and not _is_interrupted(trial):
                curves[loss] = curve_of(trial)
            if loss is not None:
                papers[trial.number] = loss
        return as_optuna(self._earlier, self.space, curves)


def curve_of(trial: FrozenTrial) -> dict[int, float]:
    """The running best of a trial by epoch, as far as it was told."""
    noted = {
        int(name.removeprefix(_EPOCH)): float(value)
        for name, value in trial.user_attrs.items()
        if name.startswith(_EPOCH)
    }
    return noted or dict(trial.intermediate_values)


def _is_interrupted(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and trial.user_attrs.get("status") == INTERRUPTED


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warning that `group` is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
