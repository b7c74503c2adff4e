"""Runs a search on Ray Tune: its trials, the confirmation of the best, the look at the test set.

Every attempt at a search, the first like any later one, builds a new Tuner on the persistent study
(DESIGN D16). Tune's own storage is a scratch folder that goes when the attempt ends.
"""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from search import confirm
from search.budgets import Plateau, Spending, trial_seconds
from search.checkpoints import drop_stale_checkpoints
from search.cluster import plain_arrays, prepare_environment, ray_instance
from search.events import EventLog, Listener
from search.final_test import Evaluate, score_winner, test_is_due
from search.fitting import Workshop
from search.journal import JOURNAL_FILE, Journal, read_journal
from search.outcome import outcome_of_error
from search.record_errors import cannot_record, storage_failures, storage_told
from search.samplers import startup_trials
from search.spec import SearchSpec
from search.study import SearchStudy, curve_of
from search.warm_start import read_warm_start
from search.winner import drop_stale_weights, evaluate_on_test
from trainable.encoded import EncodedDataset

_SEALED: Final = "the test set stays sealed"


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
    with storage_told(spec):
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
        # a full disk: the error that told of it is on its way, the rest is told when it goes on
        with contextlib.suppress(*storage_failures()):
            attempt.study.interrupt_open()
        with contextlib.suppress(OSError):
            attempt.events.emit("search_ended", status=status, reason=reason)
        attempt.study.close()


@dataclasses.dataclass(frozen=True)
class _Attempt:
    """One call of `run_trials`."""

    spec: SearchSpec
    study: SearchStudy
    events: EventLog
    plateau: Plateau

    @classmethod
    def open(cls, spec: SearchSpec, listeners: Sequence[Listener]) -> "_Attempt":
        journal = Journal(spec.folder / JOURNAL_FILE)
        study = SearchStudy(
            spec.folder,
            name=spec.name,
            space=spec.space,
            seed=spec.seed,
            startup_trials=startup_trials(spec.trials, losses=len(spec.space.losses)),
            sampler=spec.sampler,
            pareto=spec.pareto_scores,
            storage=spec.storage,
            earlier=read_warm_start(spec.folder),
        )
        past = read_journal(journal.path)
        study.open(*spec.first_points, new=not past)
        plateau = Plateau(spec.patience)
        for event in past:
            plateau(event)
        attempt = cls(spec, study, EventLog(journal, (plateau, *listeners)), plateau)
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
        from search.overseer import Overseer
        from search.stopping import StopSwitch, signals_throw

        spec = self.spec
        remaining = 0 if self.plateau.reached else spec.trials - len(self.study.ended)
        to_train = remaining > 0 or confirm.is_due(spec)
        if not to_train and not test_is_due(spec.folder):
            return self.ending("nothing was left to do")
        switch = StopSwitch(self.spending(confirm.part_of_trials(spec, remaining)))
        pristine = None
        if to_train and trainable is None and spec.config.tune == "all":
            from trainable.model import PristineWeights

            pristine = PristineWeights.load(spec.config.encoder)
        weights = 0 if pristine is None else pristine.num_bytes
        with (
            Overseer(spec, switch, self.events, self.journal),
            ray_instance(spec, data, weights_bytes=weights) as scratch,
            signals_throw(switch),
        ):
            workshop = Workshop(
                spec=spec,
                trainable=trainable,
                shared={"data": data} | ({"pristine": pristine} if pristine else {}),
                switch=switch,
                scratch=scratch,
            )
            if remaining > 0:
                self.fit(workshop, remaining)
            if switch.status != "failed":  # it may be the study that cannot be written
                self.study.interrupt_open()
            shortened = self.confirm(workshop)
            if switch.status == "failed":
                raise cannot_record(spec, switch.reason)
            note = ""
            if switch.status != "interrupted":
                why = confirm.undecided(spec.folder)
                note = f"{why}: {_SEALED}" if why else ""
                note = note or score_winner(spec, self.events, data, evaluate, switch)
        if switch.status == "interrupted":
            return "interrupted", f"{switch.reason}; {_SEALED}"
        status, reason = (switch.status, switch.reason) if switch.status else shortened
        return (status, "; ".join(filter(None, (reason, note)))) if status else self.ending(note)

    def spending(self, part: float) -> Spending:
        """The budgets of this attempt, of which trials may spend a part."""
        spec = self.spec
        return Spending(
            spec.folder,
            wall_s=spec.time_budget_s,
            trial_s=spec.compute_budget_s,
            trial_s_before=trial_seconds(self.journal),
            disk_gib=spec.disk_budget_gib,
            part=part,
        )

    def ending(self, note: str) -> tuple[str, str]:
        """Of a search whose trials came to their end."""
        if len(self.study.ended) >= self.spec.trials or not self.plateau.reached:
            return "completed", note
        why = f"none of the last {self.plateau.since} trials was better than the best before"
        return "plateau", "; ".join(filter(None, (why, note)))

    def fit(self, workshop: Workshop, remaining: int) -> None:
        from search.recorder import Recorder
        from search.searcher import StudySearcher

        spec = self.spec
        common: dict[str, Any] = {
            "epochs": spec.longest.epochs,
            "reduction_factor": spec.reduction_factor,
            "folder": spec.folder,
            "on_broken": lambda why: workshop.switch.throw("failed", why),
        }
        searcher = StudySearcher(
            self.study,
            spec.trial_config,
            checkpoint_every=spec.checkpoint_every,
            enough=lambda: self.plateau.reached,
            **common,
        )
        recorder = Recorder(self.events, self.study, **common)
        workshop.fit(
            spec.name,
            searcher=searcher,
            scheduler=build_scheduler(spec, self.study),
            recorder=recorder,
            trials=remaining,
        )

    def confirm(self, workshop: Workshop) -> tuple[str, str]:
        """Confirm the best trials, unless the search was stopped.

        Returns:
            Status and reason where the trials' part of a budget was spent, else "", "".
        """
        switch = workshop.switch
        if switch.status in ("interrupted", "failed"):
            return "", ""
        planned = confirm.plan(self.spec, self.events)
        if planned is None or not planned.left:
            return "", ""
        shortened = switch.release()
        if not switch.status:
            confirm.train_left(planned, workshop, self.events)
        return shortened


def build_scheduler(spec: SearchSpec, study: SearchStudy) -> Any:
    """ASHA with the rungs that the study's intermediate values fill.

    Every trial that reached a rung counts, but for an interrupted one that runs again: it would
    stand there twice.
    """
    from search.asha import Asha

    scheduler = Asha(spec.rungs, spec.reduction_factor)
    for trial in study.ended:
        scheduler.remember(f"study-{trial.number}", curve_of(trial))
    return scheduler
