"""What a trial tells people of: a worker's log reaches nobody, the note of a result does."""

import logging


class Notes(logging.Handler):
    """What went wrong and cost no more than time, warnings of this package among it.

    Each text once in an actor.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: set[str] = set()
        self._new: list[str] = []

    def add(self, text: str) -> None:
        """Note something, unless it was noted before."""
        if text not in self._told:
            self._told.add(text)
            self._new.append(text)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging, in any thread and under this handler's lock."""
        self.add(f"warns: {' '.join(record.getMessage().split())}")

    def take(self) -> str:
        """What is new, for one result."""
        self.acquire()
        try:
            taken, self._new = self._new, []
        finally:
            self.release()
        return "; ".join(taken)
