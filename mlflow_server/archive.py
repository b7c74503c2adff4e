"""A backup as one file: a gzipped tar; its last member, the manifest, has a checksum of each other.

The manifest comes last because its checksums are taken while the files are written: one pass over
artifacts that may be large. A cut-off archive therefore has none, and is told by that. Nothing is
extracted by tarfile's own rules: only plain files, under the names that a backup gives.
"""

import contextlib
import dataclasses
import gzip
import hashlib
import io
import json
import os
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final, Self

from mlflow_server.errors import ServerError, StoreError
from mlflow_server.store import check_room

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DATABASES: Final = "databases"
ARTIFACTS: Final = "artifacts"
_COMPRESSION: Final = 1  # models hardly shrink, and 6 takes three times as long for a database
_CHUNK: Final = 2**20
_MAX_MANIFEST: Final = 2**30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRecord:
    """One database of a backup."""

    kind: str
    """`sqlite` or `postgresql`."""
    schema_version: str | None
    rows: dict[str, int]
    """Of each table."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a backup."""

    size: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds."""

    format: int = FORMAT
    mlflow_version: str
    created: str
    """UTC, ISO 8601."""
    runs_dirs: list[str]
    """The runs folder, by the names that stand in addresses of artifacts."""
    databases: dict[str, DatabaseRecord]
    """By member name."""
    artifacts: str | None
    """Where they lay; None: they are not in the backup."""
    left_out: list[str]
    """Artifacts that are not in the backup, and why."""
    members: dict[str, Member]

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """The manifest that `text` is.

        Raises:
            ValueError: it is none.
        """
        try:
            read = json.loads(text)
            if read["format"] != FORMAT:
                raise ValueError(f"a backup of format {read['format']}, {FORMAT} is understood")
            databases = {name: DatabaseRecord(**it) for name, it in read.pop("databases").items()}
            members = {name: Member(**it) for name, it in read.pop("members").items()}
            return cls(databases=databases, members=members, **read)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"its manifest lacks {error}") from None


class Writer:
    """An archive while it is written."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.members: dict[str, Member] = {}

    def add(self, source: Path, name: str) -> None:
        """Add the plain file `source` as `name`.

        Raises:
            ServerError: it became shorter while it was read.
            OSError: it cannot be read, or the archive cannot be written.
        """
        with source.open("rb") as file:
            self.add_stream(file, name, os.fstat(file.fileno()).st_size)

    def add_stream(self, stream: IO[bytes], name: str, size: int) -> None:
        """Add the first `size` bytes of `stream` as `name`.

        Raises:
            ServerError: there are fewer.
            OSError: it cannot be read, or the archive cannot be written.
        """
        info = tarfile.TarInfo(name)
        info.size = size
        info.mtime = int(time.time())
        hashed = _Hashed(stream)
        try:
            self._tar.addfile(info, hashed)
        except OSError as error:
            if error.errno is not None:
                raise
            raise ServerError(
                f"{name} became shorter while it was read: make the backup again"
            ) from None
        self.members[name] = Member(size=size, sha256=hashed.digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, which must come last."""
        text = json.dumps(dataclasses.asdict(manifest), indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(text)
        self._tar.addfile(info, io.BytesIO(text))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Write the archive `path`, which nobody else may read: users' password hashes may be in it."""
    path.touch(0o600)
    with tarfile.open(path, "w:gz", compresslevel=_COMPRESSION) as tar:
        yield Writer(tar)


def unpack(path: Path, folder: Path) -> Manifest:
    """Write the files of the archive `path` below `folder`, which is empty, and verify them.

    Raises:
        StoreError: it is no backup, was cut off, or is not what was written; no room for it.
    """
    found: dict[str, Member] = {}
    manifest = None
    try:
        with tarfile.open(path, "r|gz") as tar:
            for info in tar:
                stream = _plain(tar, info)
                if info.name == MANIFEST:
                    manifest = Manifest.parse(stream.read(_MAX_MANIFEST))
                    continue
                check_room(folder, info.size, "unpack the backup")
                found[info.name] = _write(stream, folder / info.name)
    except FileNotFoundError:
        raise StoreError(f"there is no backup {path}") from None
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise StoreError(f"{path} is no backup, or a damaged one: {error}") from None
    except OSError as error:
        raise StoreError(f"the backup {path} cannot be unpacked: {error}") from None
    if manifest is None:
        raise StoreError(f"{path} is no backup, or was cut off: it has no manifest")
    _compare(path, manifest.members, found)
    return manifest


def _plain(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    parts = PurePosixPath(info.name).parts
    is_ours = info.name == MANIFEST or (len(parts) > 1 and parts[0] in {DATABASES, ARTIFACTS})
    stream = tar.extractfile(info) if info.isreg() else None
    if not is_ours or ".." in parts or stream is None:
        raise ValueError(f"'{info.name}' is nothing that a backup holds")
    return stream


def _write(stream: IO[bytes], target: Path) -> Member:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    size = 0
    with target.open("xb") as file:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += file.write(chunk)
    return Member(size=size, sha256=digest.hexdigest())


def _compare(path: Path, told: dict[str, Member], found: dict[str, Member]) -> None:
    wrong = sorted(name for name in told | found if told.get(name) != found.get(name))
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise StoreError(
            f"the backup {path} is damaged: {wrong[0]}{more} is not what its manifest says; use "
            "another backup"
        )


class _Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self.digest.update(chunk)
        return chunk
