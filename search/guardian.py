"""The process that cleans up after a driver that could not: kill -9, Ray's own exit, no memory.

Started as a script of the standard library alone (a few MB, some 30 ms), in a session of its own so
that the terminal's Ctrl-C does not reach it. It reads a pipe that only the driver holds open: the
kernel closes it with the driver, however that ends. Then every process of the instance goes, and
its scratch folder with it. After a clean end nothing is left to do, and it does that.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PATIENCE_S: Final = 10.0
"""For processes to die: a raylet that is killed may have started another worker just before."""
_PAUSE_S: Final = 0.2
_LEAVING_S: Final = 5.0
_KEPT: Final = ("PATH", "LD_LIBRARY_PATH")
_DEAF_TO: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Sent to all at once when a session or a machine goes down."""


@contextlib.contextmanager
def guarded(scratch: Path, *, processes: bool) -> Iterator[None]:
    """Within: should this process die, `scratch` goes, and what Ray runs in it.

    Args:
        scratch: Folder that nobody else uses.
        processes: Whether it holds a Ray instance of ours; False: only the folder goes.
    """
    guardian = subprocess.Popen(
        [sys.executable, "-S", "-E", str(Path(__file__).resolve())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={name: os.environ[name] for name in _KEPT if name in os.environ},  # no passwords
    )
    assert guardian.stdin is not None
    assert guardian.stdout is not None
    # not on its command line: what names the folder there is taken for a process of Ray
    order = {"scratch": str(scratch), "processes": processes, "driver": os.getpid()}
    try:
        with contextlib.suppress(OSError):
            guardian.stdin.write(json.dumps(order).encode() + b"\n")
            guardian.stdin.flush()
            guardian.stdout.read()  # until it is deaf to signals, and closes it
        yield
    finally:
        guardian.stdout.close()
        with contextlib.suppress(OSError):  # it was killed: nobody guards, nothing else is lost
            guardian.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            guardian.wait(_LEAVING_S)


def kill_processes_of(scratch: Path, *, driver: int | None = None) -> int:
    """Kill what belongs to the Ray instance in `scratch`; returns how many processes that were.

    Ray's servers name the folder on their command line. Workers, which give themselves another
    title, have files open there to write; so has the driver (None: this process), which is spared.
    """
    killed = 0
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) in {driver, os.getpid()}:
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to look at
            if _belongs(entry, str(scratch)):
                os.kill(int(entry.name), signal.SIGKILL)
                killed += 1
    return killed


def _belongs(process: Path, scratch: str) -> bool:
    if scratch.encode() in (process / "cmdline").read_bytes():
        return True
    # someone who reads a log there is no process of Ray
    return any(
        link.lstat().st_mode & 0o200 and str(link.readlink()).startswith(f"{scratch}/")
        for link in (process / "fd").iterdir()
    )


def clean(scratch: Path, *, processes: bool, driver: int) -> None:
    """Kill, wait until nothing is left, remove the folder."""
    deadline = time.monotonic() + _PATIENCE_S
    while processes and kill_processes_of(scratch, driver=driver) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    while scratch.exists() and time.monotonic() < deadline + _PATIENCE_S:
        shutil.rmtree(scratch, ignore_errors=True)
        time.sleep(_PAUSE_S)


def main() -> None:
    """Wait for the end of whoever holds the other end of standard input, then clean up."""
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    os.close(1)
    line = sys.stdin.buffer.readline()
    sys.stdin.buffer.read()
    if line:
        order = json.loads(line)
        clean(Path(order["scratch"]), processes=order["processes"], driver=order["driver"])


if __name__ == "__main__":
    main()
