"""Processes of this machine, as /proc tells of them (Linux): whose they are, and ending them.

A pid alone names nobody: it is used again. A process that we start is known by a token in its
environment, which all below it inherit; MLflow's workers outlive their parent when that is killed.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

TOKEN_NAME: Final = "MLFLOW_SERVER_STARTED_AS"
_PROC: Final = Path("/proc")
_START_FIELD: Final = 19  # of those after the name: the 22nd of all
_POLL_S: Final = 0.05


def started(pid: int) -> str | None:
    """When process `pid` began, in a form that no other process of any boot has; None if gone."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] == "Z" else f"{boot}:{fields[_START_FIELD]}"


def with_token(token: str) -> list[int]:
    """The living processes that were started with `token`, but for this one."""
    wanted = f"{TOKEN_NAME}={token}".encode()
    found = []
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # gone, or another user's
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return [pid for pid in found if started(pid) is not None]


def users_of(path: Path) -> list[int]:
    """The other processes that have `path` open, of those that we may look into."""
    found = set()
    for link in _PROC.glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.path.samefile(link, path):  # noqa: PTH121 - link may be no path at all
                found.add(int(link.parts[2]))
    return sorted(found - {os.getpid()})


def end(pids: Iterable[int], *, patience_s: float) -> None:
    """SIGTERM, then SIGKILL to those that live on after `patience_s`."""
    living = {pid: started(pid) for pid in pids}
    for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, patience_s)):
        for pid in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + wait_s
        while living and time.monotonic() < deadline:
            living = {pid: begun for pid, begun in living.items() if begun == started(pid)}
            time.sleep(_POLL_S if living else 0)
        if not living:
            return
