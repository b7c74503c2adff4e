"""The artifacts of a runs folder into a backup: its plain files."""

import os
from pathlib import Path

from mlflow_server.archive import ARTIFACTS, Writer
from mlflow_server.settings import ServerSettings
from mlflow_server.store import Store


def objects(settings: ServerSettings) -> tuple[dict[str, int], list[str]]:
    """Sizes of the files by the names that they have in a backup; what is no plain file."""
    found, left_out = {}, []
    root = Store(settings.runs_dir).artifacts.resolve()  # it may be a link to a larger disk
    for folder, folders, names in os.walk(root):
        for name in sorted(names) + [it for it in folders if Path(folder, it).is_symlink()]:
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file():
                left_out.append(f"{path} (no plain file)")
            else:
                found[f"{ARTIFACTS}/{path.relative_to(root).as_posix()}"] = path.stat().st_size
    return found, left_out


def add_all(settings: ServerSettings, writer: Writer, names: list[str]) -> list[str]:
    """Add the files of these names; returns those that are gone by now."""
    root = Store(settings.runs_dir).artifacts.resolve()
    gone = []
    for name in names:
        path = root / name.removeprefix(f"{ARTIFACTS}/")
        try:
            writer.add(path, name)
        except FileNotFoundError:
            gone.append(f"{path} (deleted meanwhile)")
    return gone
