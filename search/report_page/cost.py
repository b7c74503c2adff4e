"""What the search cost: time, epochs, and the epochs that ASHA saved."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from search.report_page.figures import share
from search.report_page.parts import Section, Table, Text
from search.results import OPEN_STATUSES, SearchRecord, TrialRecord
from search.words import duration

_BY_ASHA: Final = "below the "
"""How the reason of a trial begins that ASHA stopped; others were stopped on request."""


def stopped_by_asha(record: SearchRecord) -> list[TrialRecord]:
    """Trials that failed a rung."""
    return [t for t in record.trials if t.status == "stopped" and t.reason.startswith(_BY_ASHA)]


def saved_by_asha(record: SearchRecord) -> tuple[int, int]:
    """Epochs that the stopped trials did not train, and all that ended trials could have had."""
    ended = [trial for trial in record.trials if trial.ended is not None]
    saved = sum(record.planned_epochs(t) - len(t.epochs) for t in stopped_by_asha(record))
    return saved, sum(record.planned_epochs(trial) for trial in ended)


def trial_seconds(record: SearchRecord, now: float) -> float:
    """Over all trials; those that run side by side count each, open ones up to `now`."""
    live = record.status == "running"
    return sum(
        (trial.ended if trial.ended is not None else now if live else trial.started) - trial.started
        for trial in record.trials
    )


def cost_section(record: SearchRecord, summary: Mapping[str, Any], now: float) -> Section:
    """A table by status, and the sum."""
    saved, planned = saved_by_asha(record)
    in_trials, wall = trial_seconds(record, now), record.wall_s
    facts: list[tuple[str, str]] = [
        ("wall time, all attempts", duration(wall)),
        ("trial time (trials side by side count each)", duration(in_trials)),
        ("epochs trained", f"{record.epochs_spent:,}"),
    ]
    if planned:
        facts.append(
            ("epochs that ASHA saved", f"{saved:,} of {planned:,} ({share(saved / planned)})")
        )
    confirmed = summary["confirmation"]
    if confirmed:
        facts.append(("epochs to confirm the best", f"{confirmed['epochs']:,}"))
        facts.append(("time of the runs that confirm it", duration(_confirm_seconds(record))))
    gpus = record.spec.gpus_per_trial
    if gpus:
        facts.append(("GPU time of the trials", duration(in_trials * gpus)))
    tables = (
        Table(title="In all", columns=("", ""), rows=tuple(facts)),
        *((_by_status(record),) if record.trials else ()),
    )
    return Section(name="cost", title="Cost", parts=(*tables, Text(text=_words(record, in_trials))))


def _confirm_seconds(record: SearchRecord) -> float:
    runs = record.confirmation.runs.values() if record.confirmation else ()
    return sum(run.ended - run.started for run in runs if run.ended is not None)


def _by_status(record: SearchRecord) -> Table:
    counts = Counter(trial.status for trial in record.trials)
    rows = []
    for status, count in counts.most_common():
        trials = [trial for trial in record.trials if trial.status == status]
        seconds = sum(t.ended - t.started for t in trials if t.ended is not None)
        epochs = sum(len(trial.epochs) for trial in trials)
        took = "-" if status in OPEN_STATUSES else duration(seconds)
        rows.append((status.replace("_", " "), str(count), f"{epochs:,}", took))
    return Table(
        title="By how the trials ended",
        columns=("ended", "trials", "epochs", "trial time"),
        rows=tuple(rows),
    )


def _words(record: SearchRecord, in_trials: float) -> str:
    ended = [trial for trial in record.trials if trial.ended is not None]
    if not ended or not record.wall_s:
        return "No trial has ended yet."
    at_once = in_trials / record.wall_s
    mean = sum((t.ended or 0.0) - t.started for t in ended) / len(ended)
    return (
        f"A trial took {duration(mean)} on average; over the whole time {at_once:.1f} of "
        f"{record.spec.max_concurrent} trials at once were at work (starting, features, "
        "confirmation and the test are in the wall time)."
    )
