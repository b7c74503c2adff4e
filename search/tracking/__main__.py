"""The process that sends a search to MLflow: `python -m search.tracking FOLDER`, by the driver.

A process of its own, because MLflow's client takes milliseconds of a core for each trial, and the
driver has one core for everything. It lives as long as its driver: standard input has an order a
line, and its end is the driver's, who may have been killed. Then it sends what is in the journal,
calls nothing ended that a resumed search would go on with, and is gone within seconds.

    in     {"tracking_uri": ...}            first; not on the command line, which others can read
           {"close": SECONDS}               send what is left, at most for so long, and end
    out    {"problem": ..., "run_id": ...}  a `recording.State`, when it changes
           {"sent": true}                   last: whether everything was sent
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from search.tracking.recording import Recording
from search.tracking.replay import Replay

_DEAF_TO: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Sent to all at once by a terminal, or when a machine goes down: the driver says when to end."""
_NICENESS: Final = 5
_ORPHANED_S: Final = 8.0
"""For what is left, after the driver is gone."""
_LOOK_S: Final = 0.2
_GRACE_S: Final = 1.0
"""For a call that is under way when time is up."""


def main() -> None:
    """Record one folder until standard input ends, or says so."""
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICENESS)  # trials come first
    tell = _private_output()
    first = sys.stdin.buffer.readline()
    if not first:
        return
    replay = Replay(Path(sys.argv[1]), json.loads(first)["tracking_uri"])
    recording = Recording(replay, lambda state: tell(state.as_json()))
    threading.Thread(target=_obey, args=(recording, sys.stdin.buffer), daemon=True).start()
    sent = recording.run()
    tell({"sent": sent})
    sys.stdout.flush()
    os._exit(0)  # nothing of a library may hold it up now


def _private_output() -> Callable[[dict[str, Any]], None]:
    """Writes to what was standard output; what else is printed goes nowhere."""
    pipe = os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)

    def tell(message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the driver is gone
            pipe.write(json.dumps(message).encode() + b"\n")

    return tell


def _obey(recording: Recording, orders: IO[bytes]) -> None:
    """Wait for the last order, and end the process where that is not obeyed in time."""
    try:
        recording.close(json.loads(orders.readline())["close"])
    except (ValueError, KeyError, OSError):  # an empty line: the driver was killed
        recording.close(_ORPHANED_S)
    while time.monotonic() < recording.deadline + _GRACE_S:
        time.sleep(_LOOK_S)
    os._exit(1)


if __name__ == "__main__":
    main()
