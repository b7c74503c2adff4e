"""All searches of a runs folder, a line each: `python -m search list`. Only reads files."""

import dataclasses
import time
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from search.journal import END_STATUSES, JOURNAL_FILE
from search.results import SearchRecord, load_search
from search.spec import SPEC_NAME
from trainable.errors import UsageError, one_line

_MARKS: Final = (SPEC_NAME, JOURNAL_FILE)
"""What makes a folder that of a search."""
_AGES: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One folder of a search."""

    folder: Path
    began: float
    """Unix seconds: of its first attempt, else of the folder."""
    record: SearchRecord | None
    """None where it cannot be read."""
    error: str = ""
    """Why not, on one line."""


def list_searches(runs_dir: Path) -> list[Listed]:
    """The searches in `runs_dir`, newest first; damaged ones among them.

    Raises:
        UsageError: there is no such folder, or it cannot be read.
    """
    try:
        folders = [path for path in runs_dir.iterdir() if path.is_dir()]
    except OSError as error:
        raise UsageError(
            f"--runs-dir {runs_dir}: cannot be read ({error.strerror}); name the folder that "
            "`run` wrote to"
        ) from None
    found = [_listed(folder) for folder in folders if _is_search(folder)]
    return sorted(found, key=lambda item: (-item.began, item.folder.name))


def row_of(item: Listed) -> dict[str, Any]:
    """One search for programs: scores in [0, 1], times in seconds, None where there is none."""
    record = item.record
    if record is None:
        return {
            "name": item.folder.name,
            "folder": str(item.folder),
            "status": "damaged",
            "reason": item.error,
        }
    best = record.best
    return {
        "name": record.spec.name,
        "folder": str(item.folder),
        "status": record.status,
        "reason": record.reason,
        "loss": record.spec.space.loss,
        "dataset": record.spec.config.dataset,
        "trials_done": sum(trial.status in END_STATUSES for trial in record.trials),
        "trials": record.spec.trials,
        "best_trial": best.number if best else None,
        "objective": best.best_objective if best else None,
        "began": item.began,
        "wall_s": round(record.wall_s, 3),
    }


def listing_table(items: list[Listed], now: float | None = None) -> Table:
    """The searches that can be read, as a table."""
    now = time.time() if now is None else now
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("name", "status", "loss", "data"):
        table.add_column(name, no_wrap=name == "name")
    for name in ("trials", "val", "began", "took"):
        table.add_column(name, justify="right")
    for item in items:
        row = row_of(item)
        if item.record is not None:
            table.add_row(
                row["name"],
                row["status"].replace("_", " "),
                row["loss"],
                row["dataset"],
                f"{row['trials_done']}/{row['trials']}",
                "-" if row["objective"] is None else f"{100 * row['objective']:.2f}",
                f"{age(now - row['began'])} ago",
                age(row["wall_s"]),
            )
    return table


def age(seconds: float) -> str:
    """Seconds in one unit, for a narrow column.

    >>> age(42.4), age(150), age(7260), age(200_000)
    ('42 s', '2 min', '2 h', '2 d')
    """
    for unit_s, unit in _AGES:
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _is_search(folder: Path) -> bool:
    try:
        return any((folder / name).exists() for name in _MARKS)
    except OSError:  # a folder that is closed to us: may be one
        return True


def _listed(folder: Path) -> Listed:
    try:
        record = load_search(folder)
    except Exception as error:  # noqa: BLE001  whatever was done to it, the others are shown
        began = _modified(folder)
        text = one_line(error) or type(error).__name__
        return Listed(folder=folder, began=began, record=None, error=text)
    return Listed(folder=folder, began=record.began or _modified(folder), record=record)


def _modified(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
