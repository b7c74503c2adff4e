"""CPU time of named parts of a program, without a profiler's price: some functions are timed.

A part's time is without that of other parts which it called. Per call that costs two readings of
the thread's clock.
"""

import collections
import functools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any


class PartTimer:
    """Adds up the CPU seconds of threads that are inside the functions given to it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = collections.defaultdict(float)
        """By part; to be read when the threads that are inside have ended."""
        self._local = threading.local()

    def watch(self, part: str, owner: Any, names: Sequence[str]) -> None:
        """Time methods of a class, or functions of a module, from now on, for good."""
        for name in names:
            setattr(owner, name, self._timed(part, getattr(owner, name)))

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            inside = self._inside()
            inside.append(0.0)
            began = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                took = time.thread_time() - began
                self.seconds[part] += took - inside.pop()
                if inside:
                    inside[-1] += took

        return timed

    def _inside(self) -> list[float]:
        """Seconds of other parts within each function that this thread is in."""
        if not hasattr(self._local, "inside"):
            self._local.inside = []
        return self._local.inside
