"""Paths that users name: `~` and its mistakes, and files written whole or not at all."""

import os
from pathlib import Path

from trainable.errors import UsageError


def expand(path: str | Path, what: str) -> Path:
    """`path` with `~` or `~name` replaced by a home folder.

    Args:
        path: As the user wrote it.
        what: Names it in the error, such as `--runs-dir`.

    Raises:
        UsageError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(
            f"{what} {path}: no home folder of that user is known; write the whole path"
        ) from None


def is_folder(path: str | Path, what: str) -> bool:
    """Whether `path`, expanded, is a folder.

    Raises:
        UsageError: it cannot be looked at: too long a name, or a folder that is closed to us.
    """
    try:
        return expand(path, what).is_dir()
    except OSError as error:
        raise UsageError(f"{what} {path}: cannot be read ({error.strerror})") from None


def write_text(path: Path, text: str) -> None:
    """Write through a neighbour file and a rename, so that no reader sees half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.unlink(missing_ok=True)
        with part.open("x", encoding="utf-8") as file:  # never through a link that waits there
            file.write(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
