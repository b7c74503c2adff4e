"""A cache of arrays on disk: one folder per key, memory-mapped, safe between processes.

    tokens/KEY/                    KEY names all that the arrays depend on
        train.token_ids.npy ...    written to a hidden folder beside it, then renamed: an entry is
        entry.json                 there whole or not at all; the checksums find later damage
    features/KEY/                  likewise

Why an unwritable or full folder only costs a warning: the cache saves seconds, and a search that
could run should not die of a read-only HOME.
"""

import contextlib
import json
import logging
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_ENTRY_FILE: Final = "entry.json"
_HIDDEN: Final = ".unfinished-"
_ABANDONED_S: Final = 24 * 3600.0
_CHUNK_BYTES: Final = 1 << 24

_log = logging.getLogger(__name__)


Arrays = Mapping[str, npt.NDArray[Any]]
"""Arrays by name; read-only when they come from a cache."""


class ArrayCache:
    """The entries below `folder`, which need not exist; its last part says what they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, key: str, build: Callable[[], Arrays]) -> Arrays:
        """The entry of `key`, mapped; built and kept first if it is absent or damaged.

        Errors of `build` pass through. If the folder cannot be written, the built arrays are
        returned as they are.
        """
        entry = self._folder / key
        found = _load(entry)
        if found is not None:
            return found
        built = _frozen(build())
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(self._folder)
            _store(self._folder, entry, built)
        except OSError as error:
            _log.warning(
                "%s are kept in memory only: cache folder '%s' cannot be written (%s); set "
                "LONGTAIL_CACHE to one that can",
                self._folder.name,
                self._folder,
                error.strerror or type(error).__name__,
            )
            return built
        return _load(entry) or built


def _load(entry: Path) -> Arrays | None:
    """The entry, or None where it is absent, incomplete or fails a checksum."""
    try:
        listing = json.loads((entry / _ENTRY_FILE).read_text(encoding="utf-8"))
        arrays = {
            name: _load_array(entry / f"{name}.npy", checksum)
            for name, checksum in listing["checksums"].items()
        }
        return arrays or None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None


def _load_array(path: Path, checksum: int) -> npt.NDArray[Any]:
    if _crc(path) != checksum:
        raise ValueError(f"checksum of {path}")
    # a plain read-only view: the map lives as long as the array
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _store(folder: Path, entry: Path, arrays: Arrays) -> None:
    unfinished = _hidden(folder)
    try:
        checksums = {}
        for name, array in arrays.items():
            path = unfinished / f"{name}.npy"
            np.save(path, array, allow_pickle=False)
            checksums[name] = _crc(path)
        listing = json.dumps({"checksums": checksums})
        (unfinished / _ENTRY_FILE).write_text(listing, encoding="utf-8")
        _publish(folder, entry, unfinished)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _publish(folder: Path, entry: Path, unfinished: Path) -> None:
    """Rename into place; an older entry there is damaged, or another process was faster."""
    with contextlib.suppress(OSError):
        unfinished.rename(entry)
        return
    if _load(entry) is None:
        aside = _hidden(folder)
        with contextlib.suppress(OSError):
            entry.rename(aside / "damaged")
        with contextlib.suppress(OSError):
            unfinished.rename(entry)
        shutil.rmtree(aside, ignore_errors=True)


def _hidden(folder: Path) -> Path:
    # not mkdtemp: a cache shared between users must follow the umask
    path = folder / f"{_HIDDEN}{uuid.uuid4().hex}"
    path.mkdir()
    return path


def _remove_abandoned(folder: Path) -> None:
    """Sweep what killed processes left behind."""
    for path in folder.glob(f"{_HIDDEN}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)


def _crc(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            value = zlib.crc32(chunk, value)
    return value


def _frozen(arrays: Arrays) -> Arrays:
    for array in arrays.values():
        array.flags.writeable = False
    return arrays
