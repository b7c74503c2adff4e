"""`python -m search stop`: ask a running search, or a trial of it, to end, and see it happen."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from search.console import Terminal
from search.lock import is_live, owner
from search.results import SearchRecord, load_search
from search.stop_requests import ask_to_stop
from trainable.errors import UsageError, UserError

STOP_PATIENCE_S: Final = 180.0
"""A driver ends its actors, writes what it has and draws; its tracker may take 30 s more."""
TRIAL_PATIENCE_S: Final = 30.0
_POLL_S: Final = 0.2


def stop_search(folder: Path, terminal: Terminal, *, patience_s: float = STOP_PATIENCE_S) -> None:
    """End the search of `folder` as Ctrl-C there would; returns when its process is gone.

    Raises:
        UsageError: it does not run.
        UserError: it cannot be asked, or takes longer than `patience_s`.
    """
    record = _running(folder)
    name, process = record.spec.name, owner(folder)
    request = _ask(folder, None)
    terminal.say(f"asked search '{name}' (process {process}) to stop ...")
    if not _wait(lambda: not is_live(folder), patience_s):
        raise UserError(
            f"search '{name}' has not ended after {patience_s:g} s (process {process}); the "
            f"request stays and is met when its trials go on; to end it at once, `kill "
            f"{process.split()[0]}` there"
        )
    request.unlink(missing_ok=True)  # it ended by itself first
    after = load_search(folder)
    terminal.say(f"search '{name}' {after.status.replace('_', ' ')}: {after.reason or 'ended'}")
    if after.status != "completed":
        terminal.say(f"continue with: python -m search resume {name}")


def stop_trial(
    folder: Path, number: int, terminal: Terminal, *, patience_s: float = TRIAL_PATIENCE_S
) -> None:
    """End one running trial at the end of its epoch; returns when the driver knows.

    Raises:
        UsageError: the search or the trial does not run, or there is no such trial.
        UserError: the driver cannot be asked, or does not answer within `patience_s`.
    """
    record = _running(folder)
    name = record.spec.name
    trial = next((trial for trial in record.trials if trial.number == number), None)
    runs = ", ".join(str(trial.number) for trial in record.trials if trial.status == "running")
    if trial is None or trial.status != "running":
        why = "has not begun" if trial is None else f"is {trial.status.replace('_', ' ')}"
        raise UsageError(
            f"trial {number} of search '{name}' {why}: --trial takes one that runs "
            f"({runs or 'none does now'})"
        )
    request = _ask(folder, number)
    if not _wait(lambda: not request.exists(), patience_s):
        request.unlink(missing_ok=True)
        raise UserError(
            f"search '{name}' (process {owner(folder)}) has not answered within {patience_s:g} s: "
            f"look at it with `python -m search show {name}`"
        )
    terminal.say(f"trial {number} of search '{name}' stops at the end of its epoch")


def _running(folder: Path) -> SearchRecord:
    record = load_search(folder)
    if not is_live(folder):
        status = record.status.replace("_", " ")
        raise UsageError(f"search '{record.spec.name}' does not run: it is {status}")
    return record


def _ask(folder: Path, trial: int | None) -> Path:
    try:
        return ask_to_stop(folder, trial)
    except OSError as error:
        raise UserError(
            f"{folder}: the request cannot be written ({error.strerror}): free space, or stop the "
            f"search where it runs (process {owner(folder)}) with Ctrl-C"
        ) from None


def _wait(happened: Callable[[], bool], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
