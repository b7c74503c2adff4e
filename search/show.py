"""One search as its files tell it, while it runs or afterwards: `python -m search show`.

Nothing here touches the search: no lock is held, no byte is written, no tracker is started.
"""

import shlex
import time
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from search.chosen import chosen_table
from search.console import Terminal
from search.journal import JOURNAL_FILE, read_journal
from search.progress import clock, settings
from search.progress_state import ProgressState, TrialState, apply, eta_s
from search.report import say_where, show_results
from search.results import SearchRecord, load_search
from search.summary import summarize
from search.tables import counts_line
from search.tracking import Tracker

DEFAULT_RUNS_DIR: Final = "runs"


def describe_search(folder: Path, now: float | None = None) -> dict[str, Any]:
    """What summary.json has, as of now, and the trials that run.

    Returns:
        `summarize`, with `folder`, `trials_planned`, `eta_s` (of the search; None where it does
        not run or cannot be told) and `running`: for each such trial `trial`, `epoch` (done),
        `epochs`, `objective` (of its best epoch), `params` and `left_s`, the seconds that all its
        epochs would take yet (ASHA may stop it before; None before its first).

    Raises:
        UsageError: no search there, or a file of it is damaged.
    """
    record, state = _read(folder)
    now = time.time() if now is None else now
    return {
        **summarize(record),
        "folder": str(folder),
        "trials_planned": record.spec.trials,
        "eta_s": eta_s(state, now) if state else None,
        "running": [_running(state, trial) for trial in state.running] if state else [],
    }


def show_search(folder: Path, runs_dir: str, terminal: Terminal, now: float | None = None) -> None:
    """Print a search for people.

    Args:
        folder: Of the search.
        runs_dir: As the user named it, for the commands to go on with.
        terminal: Where to print.
        now: Unix seconds.

    Raises:
        UsageError: no search there, or a file of it is damaged.
    """
    record, state = _read(folder)
    terminal.show(chosen_table(record.spec))
    terminal.say()
    terminal.note(_status_line(record, state, time.time() if now is None else now))
    if state and state.running:
        terminal.show(_running_table(state))
    summary = summarize(record)
    show_results(record, summary, terminal)
    terminal.note(counts_line(summary))
    terminal.say()
    tracker = Tracker(folder, tracking_uri=record.spec.tracking_uri)  # not started: for its links
    say_where(record, terminal, tracker.links)
    terminal.say(f"{'next':<15}{next_command(record, runs_dir)}")


def next_command(record: SearchRecord, runs_dir: str = DEFAULT_RUNS_DIR) -> str:
    """What a user most likely wants to do with a search as it stands."""
    if record.status == "running":
        verb = "stop"
    elif record.status == "completed" and record.test_report is not None:
        verb = "export"
    else:
        verb = "resume"
    place = "" if runs_dir == DEFAULT_RUNS_DIR else f" --runs-dir {shlex.quote(runs_dir)}"
    return f"python -m search {verb} {record.spec.name}{place}"


def _read(folder: Path) -> tuple[SearchRecord, ProgressState | None]:
    """The record; and, of a search that runs, its progress."""
    record = load_search(folder)
    if record.status != "running":
        return record, None
    state = ProgressState(spec=record.spec)
    for event in read_journal(folder / JOURNAL_FILE):
        state = apply(state, event)
    return record, state


def _status_line(record: SearchRecord, state: ProgressState | None, now: float) -> str:
    done = sum(trial.status not in ("running", "interrupted") for trial in record.trials)
    parts = [record.status.replace("_", " "), f"{done} of {record.spec.trials} trials done"]
    if state is not None:
        left = eta_s(state, now)
        parts.append("time left unknown" if left is None else f"about {clock(left)} to go")
    return ", ".join(parts) + (f": {record.reason}" if record.reason else "")


def _running_table(state: ProgressState) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("running", "epoch", "best", "to go"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("sampled")
    for trial in state.running:
        row = _running(state, trial)
        best, left = row["objective"], row["left_s"]
        table.add_row(
            f"trial {trial.number}",
            f"{trial.epoch}/{row['epochs']}",
            "" if best is None else f"{100 * best:.2f}",
            "" if left is None else f"up to {clock(left)}",
            Text(settings(trial.params)),
        )
    return table


def _running(state: ProgressState, trial: TrialState) -> dict[str, Any]:
    epochs = int(trial.params.get("epochs", state.spec.longest.epochs))
    seconds = trial.epoch_s
    return {
        "trial": trial.number,
        "epoch": trial.epoch,
        "epochs": epochs,
        "objective": trial.best if trial.epoch else None,
        "params": dict(trial.params),
        "left_s": None if seconds is None else round((epochs - trial.epoch) * seconds, 3),
    }
