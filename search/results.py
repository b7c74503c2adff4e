"""What a search folder says: read-only records built from its files, with neither Ray nor MLflow.

The journal is the source (DESIGN D16): replayed in order, so that a search that was resumed, or
whose driver died, reads like any other.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from search.confirmation import Confirmation, ConfirmRun, read_confirmation
from search.files import read_json
from search.journal import JOURNAL_FILE, read_journal
from search.lock import is_live
from search.spec import SPEC_NAME, SearchSpec
from trainable.config import BEST_OBJECTIVE

DATASET_NAME: Final = "dataset.json"
VERSIONS_NAME: Final = "versions.json"
TEST_REPORT_NAME: Final = "test_report.json"
REPORT_NAME: Final = "report.html"

OPEN_STATUSES: Final = ("running", "interrupted")
"""A trial without an end: its search is alive, or is not."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """One trial as the journal tells it."""

    number: int
    """Of the Optuna trial; 0 has the paper's values."""
    params: Mapping[str, Any]
    """What was sampled."""
    resumes: int | None = None
    """Number of the interrupted trial that this one runs again."""
    status: str
    """One of `search.journal.END_STATUSES` or `OPEN_STATUSES`."""
    reason: str = ""
    restarts: tuple[str, ...] = ()
    """Why it started again, each time: its worker died, or its memory ran out."""
    epochs: tuple[Mapping[str, Any], ...] = ()
    """Metrics of each finished epoch, ascending, each epoch once."""
    started: float
    """Unix seconds."""
    ended: float | None = None
    """Unix seconds; None while open."""
    attempt: int = 1
    """The attempt at the search that ran it."""
    seed: int | None = None
    """Of a run that confirms the trial; None: the one that all trials of the search share."""

    @property
    def best_objective(self) -> float | None:
        """The objective of the best epoch so far; None before the first epoch's end."""
        return float(self.epochs[-1][BEST_OBJECTIVE]) if self.epochs else None

    @property
    def best_epoch(self) -> int | None:
        """The first epoch with the best objective; None where no epoch could be scored."""
        epoch = int(self.epochs[-1].get("best/epoch", 0)) if self.epochs else 0
        return epoch or None

    @property
    def best_threshold(self) -> float | None:
        """The threshold that goes with the best epoch."""
        return float(self.epochs[-1]["best/threshold"]) if self.best_epoch else None

    @property
    def best_metrics(self) -> Mapping[str, Any]:
        """All metrics of the best epoch; empty where there is none."""
        return next((row for row in self.epochs if row["epoch"] == self.best_epoch), {})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SearchRecord:
    """One search as its folder tells it."""

    folder: Path
    spec: SearchSpec
    trials: tuple[TrialRecord, ...]
    """Ascending by number."""
    status: str
    """`running`, `completed`, `interrupted`, `time_budget` or `failed`."""
    reason: str = ""
    test_report: dict[str, Any] | None = None
    """Of `best` at its best epoch; None before the test set was opened for it."""
    test_evaluations: int = 0
    """How often the test set was opened: once for each winner that an attempt ended with."""
    confirmation: Confirmation | None = None
    """The best configurations, trained again with other seeds; None: not asked for."""
    dataset: dict[str, Any]
    """The description of the data; empty before it was written."""
    wall_s: float = 0.0
    """Seconds over all attempts."""
    began: float | None = None
    """Unix seconds of the first attempt; None before it."""
    accepted_changes: tuple[Mapping[str, Any], ...] = ()
    """`attempt` and `changes` (each `what`, `then`, `now`) where it was resumed so."""

    @property
    def best(self) -> TrialRecord | None:
        """The trial that won, as it is exported and scored on the test set; None without epochs.

        That is the confirmed one, in its run with the first seed, or else the one with the highest
        objective, the lower number on ties.
        """
        confirmed = None if self.confirmation is None else self.confirmation.winner
        if confirmed is not None:
            return self.confirmed_run(confirmed)
        scored = [trial for trial in self.trials if trial.best_epoch]
        return max(scored, key=lambda t: (t.best_objective or 0.0, -t.number), default=None)

    @property
    def paper(self) -> TrialRecord | None:
        """Trial 0, the paper's values; where it was interrupted, the trial that ran it again.

        Beside a confirmed winner it is the run of those values with the winner's seed.
        """
        best, confirmation = self.best, self.confirmation
        if confirmation is not None and best is not None and best.seed is not None:
            run = confirmation.run_of_paper(best.seed)
            return None if run is None else self.confirmed_run(run)
        found, number = None, 0  # the number: a trial that was never begun has no record
        for trial in self.trials:  # ascending: a rerun comes after what it reruns
            if number in (trial.number, trial.resumes):
                found, number = trial, trial.number
        return found

    def planned_epochs(self, trial: TrialRecord) -> int:
        """How long a trial would train if nothing stopped it."""
        return int(trial.params.get("epochs", self.spec.config.epochs))

    def confirmed_run(self, run: ConfirmRun) -> TrialRecord:
        """A run of the confirmation as a record of its trial."""
        trial = next(trial for trial in self.trials if trial.number == run.trial)
        return dataclasses.replace(
            trial,
            status=run.status or "interrupted",
            reason=run.reason,
            epochs=run.epochs,
            started=run.started,
            ended=run.ended,
            seed=run.seed,
        )

    @property
    def epochs_spent(self) -> int:
        """Epochs trained in all trials."""
        return sum(len(trial.epochs) for trial in self.trials)


def load_search(folder: Path) -> SearchRecord:
    """Read the search in `folder`, running or not.

    Raises:
        UsageError: no search there, or a file of it was edited into nonsense.
    """
    spec = SearchSpec.load(folder / SPEC_NAME)
    events = read_journal(folder / JOURNAL_FILE)
    live = is_live(folder) and not _has_ended(events)
    status, reason = _search_end(events, live=live)
    record = SearchRecord(
        folder=folder,
        spec=spec,
        trials=_trials(events, open_status="running" if live else "interrupted"),
        status=status,
        reason=reason,
        confirmation=read_confirmation(events),
        test_evaluations=sum(event["event"] == "test_evaluated" for event in events),
        dataset=read_json(folder / DATASET_NAME) or {},
        wall_s=_wall_s(events),
        began=events[0]["time"] if events else None,
        accepted_changes=tuple(
            {"attempt": event["attempt"], "changes": event["changes"]}
            for event in events
            if event["event"] == "search_started" and event.get("changes")
        ),
    )
    report = read_json(folder / TEST_REPORT_NAME)
    return dataclasses.replace(record, test_report=report if _is_of(record.best, report) else None)


@dataclasses.dataclass
class _Draft:
    """A trial while its events are replayed."""

    params: Mapping[str, Any]
    started: float
    resumes: int | None
    epochs: dict[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    status: str = ""
    reason: str = ""
    restarts: list[str] = dataclasses.field(default_factory=list)
    ended: float | None = None
    attempt: int = 1


def _trials(events: Sequence[Mapping[str, Any]], *, open_status: str) -> tuple[TrialRecord, ...]:
    drafts: dict[int, _Draft] = {}
    attempt = 1
    for event in events:
        match event["event"]:
            case "search_started":
                attempt = event.get("attempt", attempt)
            case "trial_started":
                _start(drafts, event, attempt)
            case "epoch":
                _add_epoch(drafts[event["trial"]], event)
            case "trial_restarted":
                drafts[event["trial"]].epochs.clear()
                drafts[event["trial"]].restarts.append(event.get("reason", ""))
            case "trial_ended":
                draft = drafts[event["trial"]]
                draft.status, draft.reason = event["status"], event.get("reason", "")
                draft.ended = event["time"]
    return tuple(
        TrialRecord(
            number=number,
            params=draft.params,
            resumes=draft.resumes,
            status=draft.status or open_status,
            reason=draft.reason,
            restarts=tuple(draft.restarts),
            epochs=tuple(draft.epochs[epoch] for epoch in sorted(draft.epochs)),
            started=draft.started,
            ended=draft.ended,
            attempt=draft.attempt,
        )
        for number, draft in sorted(drafts.items())
    )


def _start(drafts: dict[int, _Draft], event: Mapping[str, Any], attempt: int) -> None:
    """A first start, possibly in place of a trial that an earlier attempt left open."""
    number = event["trial"]
    resumes = event.get("resumes")
    drafts[number] = _Draft(
        params=event["params"], started=event["time"], resumes=resumes, attempt=attempt
    )
    if resumes in drafts:
        drafts[resumes].reason = f"run again as trial {number}"


def _add_epoch(draft: _Draft, event: Mapping[str, Any]) -> None:
    """Keep the last word on each epoch; what a restart went back behind is void."""
    epoch = int(event["epoch"])
    draft.epochs = {e: row for e, row in draft.epochs.items() if e < epoch}
    draft.epochs[epoch] = {**event["metrics"], "epoch": epoch}


def _is_of(best: TrialRecord | None, report: Mapping[str, Any] | None) -> bool:
    """Whether the test scores are those of the best trial, at its best epoch."""
    if best is None or report is None:
        return False
    scored = (report.get("trial"), report.get("epoch"), report.get("seed"))
    return scored == (best.number, best.best_epoch, best.seed)


def _has_ended(events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last attempt said that it ended (its process may still sum up)."""
    marks = [e["event"] for e in events if e["event"] in {"search_started", "search_ended"}]
    return marks[-1:] == ["search_ended"]


def _search_end(events: Sequence[Mapping[str, Any]], *, live: bool) -> tuple[str, str]:
    if live:
        return "running", ""
    for event in reversed(events):
        if event["event"] == "search_ended":
            return event["status"], event.get("reason", "")
        if event["event"] == "search_started":
            break
    return "interrupted", "the search ended without a word: its process was killed"


def _wall_s(events: Sequence[Mapping[str, Any]]) -> float:
    """Seconds between the first and the last event of each attempt, summed."""
    total, began, last = 0.0, None, None
    for event in events:
        if event["event"] == "search_started":
            total += (last - began) if began is not None and last is not None else 0.0
            began = event["time"]
        last = event["time"]
    return total + ((last - began) if began is not None and last is not None else 0.0)
