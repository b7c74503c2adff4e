"""Who sends a search folder to a store right now: two senders would each make a run of one trial.

The kernel drops the lock with its process, as it does the driver's (`search.lock`).
"""

import fcntl
import time
from io import TextIOWrapper
from pathlib import Path
from typing import Final

LOCK_NAME: Final = "tracking.lock"
_PAUSE_S: Final = 0.2


class SendingLock:
    """The lock of one folder; not held at first."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        self._file: TextIOWrapper | None = None

    def acquire(self, timeout_s: float = 0.0) -> bool:
        """Take it, unless another process holds it for longer than `timeout_s`; may be repeated.

        Raises:
            OSError: the folder cannot be written.
        """
        deadline = time.monotonic() + timeout_s
        while self._file is None:
            file = self._path.open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._file = file
            except BlockingIOError:
                file.close()
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_PAUSE_S)
        return True

    def release(self) -> None:
        """Let others send."""
        if self._file is not None:
            self._file.close()
            self._file = None
