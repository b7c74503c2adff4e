"""The journal of a search: an append-only file of JSON lines, the truth about its trials.

One event a line, flushed to the disk at once, so that a killed search loses at most the line that
it was writing. Readers ignore a torn last line; the next writer cuts it off. Events (`time` is in
unix seconds, `trial` is the number in the Optuna study):

    search_started   attempt                      counts from 1; above 1 the search was resumed
    trial_started    trial params ray_trial_id    and `resumes: old` for an interrupted one
    trial_restarted  trial reason                 its worker died: the epochs so far do not count
    epoch            trial epoch metrics          the flat, finite numbers of one step
    trial_ended      trial status reason          END_STATUSES
    test_evaluated   trial micro_f1 macro_f1      the chosen trial, once
    search_ended     status reason                SEARCH_STATUSES

A trial that started and has no `trial_ended` was interrupted (or still runs).
"""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

END_STATUSES: Final = ("completed", "stopped", "diverged", "out_of_memory", "failed")
"""How a trial ends; `stopped` is by ASHA."""

SEARCH_STATUSES: Final = ("completed", "interrupted", "time_budget", "failed")
"""How a search ends."""

JOURNAL_FILE: Final = "journal.jsonl"
"""Its name in the folder of a search."""


class Journal:
    """Appends events to `path`; the only writer of that file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        _cut_torn_line(path)

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        """Write one event and return it, with its `time`.

        Raises:
            ValueError: a field holds NaN or an infinity (JSON has neither).
            OSError: the disk is full or the folder is gone.
        """
        record = {"event": event, "time": time.time(), **fields}
        line = json.dumps(record, allow_nan=False) + "\n"
        # one write on a fresh descriptor: lines never interleave, nothing is held open
        with self.path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        return record


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole events of a journal in order; none if the file is absent."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1] if line.strip()]


def finite_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a result; a diverged epoch has a NaN loss, which JSON has not."""
    return {
        key: value
        for key, value in result.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
