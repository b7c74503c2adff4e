"""The searches of a runs folder, which write to its SQLite store past the server: does one run?"""

import fcntl
from pathlib import Path
from typing import Final

from mlflow_server.errors import ServerError

LOCKS: Final = ("search.lock", "tracking.lock")
"""In the folder of a search, locked while it runs (search/lock.py) or is sent to the store."""


def check_no_search(runs_dir: Path) -> None:
    """Raise ServerError if a search of `runs_dir` runs."""
    for lock in sorted(path for name in LOCKS for path in runs_dir.glob(f"*/{name}")):
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                name = lock.parent.name
                raise ServerError(
                    f"search '{name}' runs in {runs_dir} and writes to its store: wait for its "
                    f"end, or stop it with `python -m search stop {name}`"
                ) from None
