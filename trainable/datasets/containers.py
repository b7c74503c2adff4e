"""Read-only views of a folder, a .tar.gz or a .zip: names and bytes, nothing ever unpacked."""

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from trainable.errors import UsageError
from trainable.paths import is_folder

TAR_SUFFIXES = (".tar.gz", ".tgz")
_BROKEN = (EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, OSError, RuntimeError)


class Container(NamedTuple):
    """Files below one root: `read(name)` gives the bytes of one of `names`."""

    path: Path
    names: tuple[str, ...]
    read: Callable[[str], bytes]


def open_container(path: Path) -> Container:
    """Open `path`, whatever it is.

    Raises:
        UsageError: missing, empty, damaged or truncated, or neither a folder nor an archive.
    """
    folder = is_folder(path, "--data")
    if not path.exists():
        raise UsageError(f"--data '{path}' does not exist: give a folder, a .tar.gz or a .zip")
    try:
        if folder:
            return _folder(path)
        if path.stat().st_size == 0:
            raise UsageError(f"--data '{path}' is an empty file: copy or download it again")
        if path.name.endswith(TAR_SUFFIXES):
            return _tar(path)
        if path.suffix == ".zip":
            return _zip(path)
    except _BROKEN as error:
        raise damaged(path, error) from error
    raise UsageError(f"--data '{path}' must be a folder, a .tar.gz or a .zip")


def damaged(path: Path, error: BaseException) -> UsageError:
    """The error for a container that ends early or fails its checksums."""
    return UsageError(
        f"--data '{path}' is damaged or truncated ({error}): copy or download it again"
    )


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive we open."""
    return path.is_file() and (path.name.endswith(TAR_SUFFIXES) or path.suffix == ".zip")


def _folder(path: Path) -> Container:
    # one folder down is searched, and training/ and test/ inside it
    names = tuple(
        found.relative_to(path).as_posix()
        for pattern in ("*", "*/*", "*/*/*")
        for found in sorted(path.glob(pattern))
        if found.is_file()
    )
    if not names:
        raise UsageError(f"--data '{path}' is an empty folder")
    return Container(path, names, lambda name: (path / name).read_bytes())


def _tar(path: Path) -> Container:
    # one pass: a gzip stream has no random access
    with gzip.open(path) as stream:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            content = dict(_members(archive))
        # tarfile stops before the end, where the checksum of the whole stream is
        while stream.read(1 << 20):
            pass
    return Container(path, tuple(content), content.__getitem__)


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        stream = archive.extractfile(member) if member.isfile() else None
        if stream is not None:
            yield PurePosixPath(member.name).as_posix(), stream.read()


def _zip(path: Path) -> Container:
    archive = zipfile.ZipFile(path)
    names = tuple(info.filename for info in archive.infolist() if not info.is_dir())

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except _BROKEN as error:
            raise damaged(path, error) from error

    return Container(path, names, read)
