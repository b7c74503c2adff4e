"""What `search stop` asks of a running search: small files in its folder, which the driver takes.

Files, so that it works from any host that sees the folder. A request carries the owner of the
folder's lock at that time: one that its search did not live to see is not meant for the next.
"""

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Final

from search.files import read_json, write_json
from search.lock import owner
from trainable.errors import UserError

_PATTERN: Final = "stop-*.json"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One wish."""

    path: Path
    owner: str
    """Who was asked: `search.lock.owner` of that moment."""
    trial: int | None
    """To stop; None: the whole search."""


def ask_to_stop(folder: Path, trial: int | None = None) -> Path:
    """Ask the owner of `folder` to stop one trial, or the search; returns the request's file.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / ("stop-search.json" if trial is None else f"stop-trial-{trial:05d}.json")
    write_json(path, {"owner": owner(folder), "trial": trial, "time": time.time()})
    return path


def take_requests(folder: Path) -> list[Request]:
    """The requests to the present owner of `folder`, oldest name first; all of them go.

    What is no request, and those to an earlier owner, go without a word.
    """
    taken = []
    present = owner(folder)
    for path in sorted(folder.glob(_PATTERN)):
        request = _read(path)
        with contextlib.suppress(OSError):
            path.unlink()
            if request is not None and request.owner == present:
                taken.append(request)
    return taken


def _read(path: Path) -> Request | None:
    try:
        values = read_json(path) or {}
    except UserError:
        return None
    trial = values.get("trial")
    if trial is not None and not isinstance(trial, int):
        return None
    return Request(path=path, owner=str(values.get("owner")), trial=trial)
