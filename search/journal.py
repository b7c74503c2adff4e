"""The journal of a search: an append-only file of JSON lines, the truth about its trials.

One event a line, flushed to the disk at once, so that a killed search loses at most the line that
it was writing. Readers ignore a torn last line; the next writer cuts it off. Events (`time` is in
unix seconds, `trial` is the number in the Optuna study):

    search_started   attempt trials               counts from 1; above 1 the search was resumed,
                                                  and `changes` were accepted, if there are any
    trial_started    trial params ray_trial_id    and `resumes: old` for an interrupted one
    trial_restarted  trial reason                 its worker died, or its memory ran out and it goes
                                                  on with less: the epochs so far do not count
    epoch            trial epoch metrics          the flat, finite numbers of one step
    trial_ended      trial status reason          END_STATUSES
    test_evaluated   trial micro_f1 macro_f1      the chosen trial, once; `seed` of a confirmed one
    search_ended     status reason                SEARCH_STATUSES

and of the best trials' configurations, trained again with other seeds (`search.confirmation`):

    confirm_planned    trials seeds paper         the candidates; the last plan counts, [] ends it
    confirm_started    trial seed                 as trial_started ...
    confirm_restarted  trial seed reason
    confirm_epoch      trial seed epoch metrics
    confirm_ended      trial seed status reason

An epoch's and an end's event may have a `note`: what the worker warned of, for people.
A trial that started and has no `trial_ended` was interrupted (or still runs).
"""

import contextlib
import errno
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from trainable.errors import UsageError

END_STATUSES: Final = ("completed", "stopped", "diverged", "out_of_memory", "failed")
"""How a trial ends; `stopped` is by ASHA or on request."""

BUDGET_STATUSES: Final = ("time_budget", "compute_budget", "disk_budget", "plateau")
"""A search that ended before its last trial, as it was told to; its winner is scored."""

SEARCH_STATUSES: Final = ("completed", *BUDGET_STATUSES, "interrupted", "failed")
"""How a search ends."""

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "trial_started": ("trial", "params"),
        "trial_restarted": ("trial",),
        "epoch": ("trial", "epoch", "metrics"),
        "trial_ended": ("trial", "status"),
        "confirm_planned": ("trials", "seeds", "paper"),
        "confirm_started": ("trial", "seed"),
        "confirm_restarted": ("trial", "seed"),
        "confirm_epoch": ("trial", "seed", "epoch", "metrics"),
        "confirm_ended": ("trial", "seed", "status"),
        "search_ended": ("status",),
    }
)
"""What readers count on."""

_TYPES: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "time": (int, float),
        **dict.fromkeys(("trial", "seed", "epoch"), int),
        "status": str,
        **dict.fromkeys(("params", "metrics"), dict),
        "trials": (int, list),
    }
)
"""... as: a number names files."""

JOURNAL_FILE: Final = "journal.jsonl"
"""Its name in the folder of a search."""


class Journal:
    """Appends events to `path`; the only writer of that file.

    After a write that failed only `search_ended` is taken: an event whose predecessor is missing
    would make the journal unreadable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._failure: OSError | None = None
        _cut_torn_line(path)

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        """Write one event and return it, with its `time`.

        Raises:
            ValueError: a field holds NaN or an infinity (JSON has neither).
            OSError: the disk is full or the folder is gone, now or earlier.
        """
        if self._failure is not None and event != "search_ended":
            raise self._failure
        record = {"event": event, "time": time.time(), **fields}
        line = json.dumps(record, allow_nan=False) + "\n"
        try:
            _append(self.path, line.encode())
        except OSError as error:
            self._failure = error
            raise
        return record


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole events of a journal in order; none if the file is absent.

    Raises:
        UsageError: a whole line is no event of a search, or tells of a trial that never started.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    events: list[dict[str, Any]] = []
    started: set[Any] = set()
    for number, line in enumerate(lines[:-1], 1):
        if line.strip():
            events.append(_event(line, started, f"{path} line {number}"))
    return events


def _event(line: bytes, started: set[Any], where: str) -> dict[str, Any]:
    """One event, checked; its trial, or (trial, seed), joins `started`."""
    try:
        event = json.loads(line)
        kind = event["event"]
        fields = _FIELDS.get(kind, ())
        missing = [
            key
            for key in ("time", *fields)
            if key not in event or not isinstance(event[key], _TYPES.get(key, object))
        ]
        who = event["trial"] if "trial" in fields else None
        strange = "seed" in fields and who not in started
        if "seed" in fields:
            who = who, event["seed"]
        if kind in ("trial_started", "confirm_started"):
            started.add(who)
        strange = strange or (who is not None and who not in started)
    except (ValueError, KeyError, TypeError, RecursionError):
        missing, strange = ["event"], False
    if missing or strange:
        what = "tells of a trial that never started" if strange else "is damaged"
        raise UsageError(f"{where} {what}: restore the file, or take that line out")
    return dict(event)


def finite_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a result; a diverged epoch has a NaN loss, which JSON has not."""
    return {
        key: value
        for key, value in result.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _append(path: Path, line: bytes) -> None:
    """One unbuffered write on a fresh descriptor: lines never interleave, nothing is held open."""
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(end)  # half a line would spoil the next one
            raise


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
