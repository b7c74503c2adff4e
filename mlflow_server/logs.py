"""The server's log: its last words, and a bound to its size."""

from pathlib import Path
from typing import Final

_LINES: Final = 5
_TAIL_BYTES: Final = 16 * 1024
_MAX_BYTES: Final = 8 * 2**20


def last_words(log: Path) -> str:
    """Where the log lies and how it ends, in one line."""
    return f"{log} ends with: {_tail(log)}"


def rotate(log: Path) -> None:
    """Move a log of more than 8 MiB to `NAME.1`, in place of what lies there."""
    if log.exists() and log.stat().st_size > _MAX_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        text = file.read().decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-_LINES:]) or "nothing"
