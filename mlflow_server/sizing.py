"""How many workers, and how many connections each may open: pure arithmetic."""

from typing import Final

from mlflow_server.store import StoreError

THREADS: Final = 40
"""Requests that one worker answers at once (Starlette's default)."""
MAX_AUTO_WORKERS: Final = 8
_KEPT_FREE: Final = 15  # for a backup, a psql, a shared study
_POOLS: Final = 2  # of runs and of users; the one of models is hardly used


def sized(workers: int | None, *, cores: int, connections: int) -> tuple[int, int]:
    """The number of workers, and the connections that each of a worker's pools may open.

    A request that logs a batch holds one connection while it opens a second one: a pool that all
    threads can exhaust with their first stops for good. One connection more than threads is enough.

    Args:
        workers: as the user said; None: as many as fit.
        cores: of this machine, at least 1.
        connections: that PostgreSQL has for ordinary users.

    Raises:
        StoreError: PostgreSQL has too few.
    """
    usable = connections - _KEPT_FREE
    smallest = _POOLS * (THREADS + 1)
    fitting = usable // smallest
    asked = workers or min(cores, MAX_AUTO_WORKERS, max(1, fitting))
    if asked > fitting:
        raise StoreError(
            f"{asked} worker{'s' if asked > 1 else ''} may need {asked * smallest + _KEPT_FREE} "
            f"connections, and PostgreSQL has {connections}: raise its max_connections"
            + (", or say --workers auto" if workers and fitting else "")
        )
    return asked, min(usable // (_POOLS * asked), _POOLS * THREADS)
