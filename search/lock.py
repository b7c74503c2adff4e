"""Who owns a search folder right now: an advisory lock that the kernel drops with its process.

A pid file would outlive a killed driver; `flock` cannot. The file itself stays, empty of meaning.
"""

import contextlib
import fcntl
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trainable.errors import UsageError

LOCK_NAME: Final = "search.lock"
_TRIES: Final = 5
_PAUSE_S: Final = 0.05


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Own `folder` while the block runs.

    Raises:
        UsageError: another process runs this search.
    """
    path = folder / LOCK_NAME
    with path.open("a+") as file:
        for last in (*[False] * (_TRIES - 1), True):  # a reader's probe holds it for an instant
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if last:
                    raise UsageError(
                        f"search '{folder.name}' is running (process {owner(folder)}): wait for "
                        f"its end, or stop it with `python -m search stop {folder.name}`"
                    ) from None
                time.sleep(_PAUSE_S)
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}")
        file.flush()
        yield


def is_live(folder: Path) -> bool:
    """Whether some process runs the search of `folder`."""
    try:
        with (folder / LOCK_NAME).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def owner(folder: Path) -> str:
    """The process that owns `folder`, or did last, as `PID on HOST`."""
    try:
        return (folder / LOCK_NAME).read_text().strip() or "unknown"
    except OSError:
        return "unknown"
