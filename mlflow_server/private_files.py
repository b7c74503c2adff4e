"""Files that hold a secret: nobody else may read them, by PostgreSQL's own rule for its keys."""

import os
import stat
from pathlib import Path

from mlflow_server.store import StoreError


def read_private(path: Path, option: str) -> str:
    """The content of the file that `option` names, without its line ends.

    Raises:
        StoreError: it cannot be read, or others can: its mode must be 600, or 640 if root owns it
            (which is how systemd hands over credentials).
    """
    try:
        with path.open() as file:
            status = os.fstat(file.fileno())
            content = file.read().strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise StoreError(f"{option} {path} cannot be read: {reason}") from None
    forbidden = 0o037 if status.st_uid == 0 else 0o077
    if status.st_mode & forbidden:
        raise StoreError(
            f"{option} {path} can be read by others (mode {stat.S_IMODE(status.st_mode):o}): "
            f"chmod 600 {path}"
        )
    return content


def write_private(path: Path, content: str) -> None:
    """Write the file, which nobody else may read at any moment.

    Raises:
        OSError: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    fresh.replace(path)
