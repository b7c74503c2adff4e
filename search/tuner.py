"""Runs the trials of a search on Ray Tune: the only user of `ray.tune.Tuner`.

Every attempt at a search, the first like any later one, builds a new Tuner on the persistent study
(DESIGN D16). Tune's own storage is a scratch folder that goes when the attempt ends.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from search.checkpoints import drop_stale_checkpoints
from search.cluster import plain_arrays, prepare_environment, ray_instance
from search.events import EventLog, Listener
from search.final_test import Evaluate, score_winner, test_is_due
from search.journal import JOURNAL_FILE, Journal, read_journal
from search.outcome import outcome_of_error
from search.spec import SearchSpec
from search.study import STUDY_FILE, SearchStudy, startup_trials
from search.winner import drop_stale_weights, evaluate_on_test
from trainable.config import BEST_OBJECTIVE
from trainable.encoded import EncodedDataset
from trainable.errors import UsageError, UserError, one_line

if TYPE_CHECKING:
    from search.recorder import Recorder
    from search.stopping import StopSwitch

_MAX_FAILURES: Final = 1
"""A trial whose worker died starts once more, from its checkpoint if it has one."""


def run_trials(
    spec: SearchSpec,
    data: EncodedDataset,
    *,
    listeners: Sequence[Listener] = (),
    trainable: type | None = None,
    evaluate: Evaluate = evaluate_on_test,
    changes: Sequence[Mapping[str, str]] = (),
) -> None:
    """Run what is left of a search, then score its best trial on the test set, once.

    On a folder with results finished trials stay and interrupted ones run again. The first Ctrl-C
    or SIGTERM ends the attempt cleanly (the call returns; the test set stays sealed), a second one
    raises KeyboardInterrupt. Everything that happened is in the journal.

    Args:
        spec: Its folder must exist.
        data: Goes to every trial by Ray's object store.
        listeners: Get each journal event.
        trainable: The Tune trainable class; None: `trainable.trial.FineTuneTrial`.
        evaluate: Scores the winner; runs as a Ray task with a trial's resources.
        changes: What this attempt runs with that the one before did not, for the journal.

    Raises:
        UsageError: the cluster is not there or too small; the study or the journal is damaged.
        UserError: the journal or the study could not be written.
    """
    prepare_environment(private=spec.address is None)
    with _storage_told(spec):
        attempt = _Attempt.open(spec, listeners)
        number = 1 + attempt.count("search_started")
        told = {"changes": [dict(change) for change in changes]} if changes else {}
        attempt.events.emit("search_started", attempt=number, trials=spec.trials, **told)
    status, reason = "failed", ""
    try:
        status, reason = attempt.run(plain_arrays(data), trainable, evaluate)
    except KeyboardInterrupt:
        status, reason = "interrupted", "Ctrl-C"
        raise
    except BaseException as error:
        reason = outcome_of_error(str(error)).reason
        raise
    finally:
        attempt.study.interrupt_open()
        with contextlib.suppress(OSError):  # a full disk: the error that told of it is on its way
            attempt.events.emit("search_ended", status=status, reason=reason)


@dataclasses.dataclass(frozen=True)
class _Attempt:
    """One call of `run_trials`."""

    spec: SearchSpec
    study: SearchStudy
    events: EventLog

    @classmethod
    def open(cls, spec: SearchSpec, listeners: Sequence[Listener]) -> "_Attempt":
        journal = Journal(spec.folder / JOURNAL_FILE)
        study = SearchStudy(
            spec.folder,
            name=spec.name,
            space=spec.space,
            seed=spec.seed,
            startup_trials=startup_trials(spec.trials),
        )
        study.open(spec.space.paper_point(), *spec.points)
        attempt = cls(spec, study, EventLog(journal, listeners))
        attempt.complete_journal()
        drop_stale_weights(spec.folder)
        again = [(n, *study.predecessors(n)) for n in study.waiting]
        drop_stale_checkpoints(spec.folder, {number for chain in again for number in chain})
        return attempt

    @property
    def journal(self) -> list[dict[str, Any]]:
        return read_journal(self.spec.folder / JOURNAL_FILE)

    def count(self, kind: str) -> int:
        return sum(event["event"] == kind for event in self.journal)

    def complete_journal(self) -> None:
        """Write the ends that a killed driver told the study, but not the journal any more."""
        started, ended = (
            {event["trial"] for event in self.journal if event["event"] == kind}
            for kind in ("trial_started", "trial_ended")
        )
        for trial in self.study.ended:
            if trial.number in started - ended:
                attrs = trial.user_attrs
                self.events.emit(
                    "trial_ended",
                    trial=trial.number,
                    status=attrs["status"],
                    reason=attrs["reason"],
                )

    def run(
        self, data: EncodedDataset, trainable: type | None, evaluate: Evaluate
    ) -> tuple[str, str]:
        """Status and reason of the attempt."""
        from search.stopping import StopSwitch, signals_throw

        spec = self.spec
        switch = StopSwitch(spec.time_budget_s)
        remaining = spec.trials - len(self.study.ended)
        if remaining <= 0 and not test_is_due(spec.folder):
            return "completed", "nothing was left to do"
        pristine = None
        if remaining > 0 and trainable is None and spec.config.tune == "all":
            from trainable.model import PristineWeights

            pristine = PristineWeights.load(spec.config.encoder)
        weights = 0 if pristine is None else pristine.num_bytes
        with (
            ray_instance(spec, data, weights_bytes=weights) as scratch,
            signals_throw(switch),
        ):
            if remaining > 0:
                # all actors share these by Ray's object store, once a node
                shared = {"data": data} | ({"pristine": pristine} if pristine else {})
                self.fit(trainable, shared, remaining, switch, scratch)
            self.study.interrupt_open()
            if switch.status == "failed":
                raise _cannot_record(spec, switch.reason)
            if switch.status == "interrupted":
                return "interrupted", f"{switch.reason}; the test set stays sealed"
            note = score_winner(spec, self.events, data, evaluate, switch)
        if switch.status == "interrupted":
            return "interrupted", f"{switch.reason}; the test set stays sealed"
        parts = [part for part in (switch.reason, note) if part]
        return switch.status or "completed", "; ".join(parts)

    def fit(
        self,
        trainable: type | None,
        shared: Mapping[str, Any],
        remaining: int,
        switch: "StopSwitch",
        scratch: Path,
    ) -> None:
        from ray import tune

        from search.recorder import Recorder
        from search.searcher import StudySearcher

        if trainable is None:
            from trainable.trial import FineTuneTrial as trainable  # noqa: N813

        spec = self.spec
        asha = {"epochs": spec.longest.epochs, "reduction_factor": spec.reduction_factor}
        searcher = StudySearcher(
            self.study,
            spec.trial_config,
            folder=spec.folder,
            checkpoint_every=spec.checkpoint_every,
            **asha,
        )
        recorder = Recorder(
            self.events,
            self.study,
            folder=spec.folder,
            on_broken=lambda why: switch.throw("failed", why),
            **asha,
        )
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(trainable, **shared),
                {"cpu": spec.cpus_per_trial, "gpu": spec.gpus_per_trial},
            ),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=build_scheduler(spec, self.study),
                num_samples=remaining,
                max_concurrent_trials=spec.max_concurrent,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=_run_config(spec.name, scratch, switch, recorder),
        )
        tuner.fit()


def _run_config(name: str, scratch: Path, switch: "StopSwitch", recorder: "Recorder") -> Any:
    from ray import tune

    from search.stopping import ActorReaper

    return tune.RunConfig(
        name=name,
        storage_path=str(scratch),
        stop=switch,
        callbacks=[recorder, ActorReaper(switch)],
        verbose=0,
        failure_config=tune.FailureConfig(max_failures=_MAX_FAILURES),
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
    )


def build_scheduler(spec: SearchSpec, study: SearchStudy) -> Any:
    """ASHA with the rungs that the study's intermediate values fill.

    Tune never saves rungs. Every trial that reached one counts, but for an interrupted one that
    runs again: it would stand there twice.
    """
    from ray.tune.schedulers import AsyncHyperBandScheduler

    scheduler = AsyncHyperBandScheduler(
        time_attr="epoch",
        metric=BEST_OBJECTIVE,
        mode="max",
        max_t=spec.longest.epochs,
        grace_period=min(spec.grace_period, spec.longest.epochs),
        reduction_factor=spec.reduction_factor,
        brackets=1,
    )
    for trial in study.ended:
        past: Any = SimpleNamespace(trial_id=f"study-{trial.number}")
        scheduler.on_trial_add(None, past)
        for epoch, value in sorted(trial.intermediate_values.items()):
            scheduler.on_trial_result(None, past, {"epoch": epoch, BEST_OBJECTIVE: value})
    return scheduler


@contextlib.contextmanager
def _storage_told(spec: SearchSpec) -> Iterator[None]:
    """Within: a study that cannot be read, or a journal that cannot be written, is one line."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except OSError as error:
        raise _cannot_record(spec, f"cannot record the search: {one_line(error)}") from error
    except (OptunaError, SQLAlchemyError, RuntimeError, KeyError, ValueError) as error:
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        raise UsageError(
            f"{spec.folder / STUDY_FILE}: cannot be used as the study of the search "
            f"({one_line(root)}): restore the file, or start a new search"
        ) from error


def _cannot_record(spec: SearchSpec, reason: str) -> UserError:
    return UserError(
        f"{reason}; free space or check {spec.folder}, then `python -m search resume {spec.name}`"
    )


def _trial_name(trial: Any) -> str:
    return f"trial-{trial.config['number']:05d}"
