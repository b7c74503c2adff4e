"""Events of a search on their way: first into the journal, then to everyone who listens."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from search.journal import Journal
from trainable.errors import one_line

Listener = Callable[[dict[str, Any]], None]

_log = logging.getLogger(__name__)


class EventLog:
    """Writes each event to the journal and hands it to the listeners.

    A listener that raises is reported once and never called again: it cannot stop a search.
    """

    def __init__(self, journal: Journal, listeners: Sequence[Listener] = ()) -> None:
        self._journal = journal
        self._listeners = list(listeners)

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of every event from now on."""
        self._listeners.append(listener)

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event, then tell it.

        Raises:
            OSError: the journal cannot be written.
        """
        record = self._journal.append(event, **fields)
        for listener in list(self._listeners):
            try:
                listener(record)
            except Exception as error:  # noqa: BLE001  a listener may fail in any way
                self._listeners.remove(listener)
                name = getattr(listener, "__qualname__", type(listener).__name__)
                _log.warning("%s fails and is left out from now on: %s", name, one_line(error))
