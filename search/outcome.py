"""How a trial ended, and why, in the words of the journal. Knows neither Ray nor Optuna."""

import dataclasses
import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any, Final

from search.journal import END_STATUSES
from trainable.config import BEST_OBJECTIVE, OBJECTIVE

INTERRUPTED: Final = "interrupted"
"""Of a trial that its search left unfinished: in the study, never in the journal."""

_FRACTIONS: Final = {2: "half", 3: "third", 4: "quarter", 5: "fifth"}
_NO_MEMORY: Final = re.compile(r"out ?of ?memory|MemoryError|OOM", re.IGNORECASE)
_KILLED_FOR_MEMORY: Final = re.compile(r"low on memory|memory usage threshold", re.IGNORECASE)
"""Ray's memory monitor; a worker that merely died `could` have been out of memory."""
_DEAD_WORKER: Final = re.compile(r"actor (died|is dead) (unexpectedly|because its)|ActorDied")
"""Not `because of an error raised in its creation task`: that error counts."""
_LOST: Final = re.compile(r"actor \w+ is unavailable")
"""Its worker or its whole machine went down: so Ray tells of it at first."""
_MAX_REASON: Final = 300


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a trial."""

    status: str
    """One of `END_STATUSES`, or `INTERRUPTED`."""
    reason: str
    """One line."""


def is_finite(result: Mapping[str, Any]) -> bool:
    """Whether the objectives of a result, where it has them, are finite numbers."""
    values = [result.get(key, 0.0) for key in (OBJECTIVE, BEST_OBJECTIVE)]
    return all(isinstance(value, Real) and math.isfinite(value) for value in values)


def broke_down(result: Mapping[str, Any]) -> bool:
    """Whether the trial broke down on this epoch, which then does not count."""
    return bool(result.get("end_status")) or not is_finite(result)


def outcome_of_result(result: Mapping[str, Any], *, epochs: int, reduction_factor: int) -> Outcome:
    """The end of a trial that ended on `result`, its last.

    Args:
        result: `epoch`, and `end_status` and `end_reason` where the trial ended itself, or
            `stop_reason` where somebody other than ASHA stopped it.
        epochs: Length of a complete trial.
        reduction_factor: Of ASHA, for the reason.
    """
    own = str(result.get("end_status") or "")
    if own:
        status = own if own in END_STATUSES else "failed"
        return Outcome(status, one_line(str(result.get("end_reason") or own)))
    epoch = int(result["epoch"])
    if not is_finite(result):
        return Outcome("diverged", f"the objective is not finite at epoch {epoch}")
    if epoch >= epochs:
        return Outcome("completed", f"all {epochs} epochs")
    if result.get("stop_reason"):
        return Outcome("stopped", str(result["stop_reason"]))
    return Outcome("stopped", f"below the {_top(reduction_factor)} at epoch {epoch}")


def outcome_of_error(text: str) -> Outcome:
    """The end of a trial that raised, from the error as Ray tells it: the message comes last."""
    last = text.strip().splitlines()[-1].strip() if text.strip() else "unknown error"
    if _DEAD_WORKER.search(text) and not _KILLED_FOR_MEMORY.search(text):
        return Outcome("failed", "its worker process died: killed from outside, or it crashed")
    if _LOST.search(text):
        return Outcome("failed", "its worker cannot be reached: it died, or its machine did")
    if _NO_MEMORY.search(last) or _KILLED_FOR_MEMORY.search(text):
        return Outcome("out_of_memory", one_line(last))
    return Outcome("failed", one_line(last))


def one_line(text: str) -> str:
    """`text` without line breaks, cut to a length that tables and tags bear."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_REASON else line[: _MAX_REASON - 3] + "..."


def _top(reduction_factor: int) -> str:
    fraction = _FRACTIONS.get(reduction_factor)
    return f"top {fraction}" if fraction else f"top 1/{reduction_factor}"
