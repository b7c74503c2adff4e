"""A backup of a store while it is in use: its databases, then its artifacts, in one archive.

In that order: artifacts that a run names were there before its database rows were copied. The
archive appears whole or not at all.
"""

import dataclasses
import datetime
import itertools
import os
import tempfile
from pathlib import Path
from typing import Final

from mlflow_server import (
    archive,
    artifact_folder,
    bucket_copy,
    locations,
    postgres,
    schema,
    sqlite_file,
)
from mlflow_server.archive import ARTIFACTS, DATABASES, DatabaseRecord, Manifest, Writer
from mlflow_server.errors import StoreError
from mlflow_server.settings import ServerSettings
from mlflow_server.store import Store, check_room

DUMP: Final = "mlflow.dump"
"""A PostgreSQL database in a backup: what `pg_dump --format=custom` wrote."""
_SUFFIX: Final = ".tar.gz"


@dataclasses.dataclass(frozen=True, slots=True)
class Backup:
    """One that was made."""

    path: Path
    manifest: Manifest

    @property
    def summary(self) -> str:
        """What is in it, in one line."""
        rows = sum(sum(record.rows.values()) for record in self.manifest.databases.values())
        files = [name for name in self.manifest.members if name.startswith(f"{ARTIFACTS}/")]
        artifacts = "no artifacts"
        if self.manifest.artifacts is not None:
            size = sum(self.manifest.members[name].size for name in files)
            artifacts = f"{len(files)} artifacts ({size / 2**20:,.1f} MiB)"
        return f"{rows} rows and {artifacts}"


def back_up(
    settings: ServerSettings, *, to: Path | None = None, with_artifacts: bool = True
) -> Backup:
    """Back up the store of `settings`.

    Args:
        settings: of the server, which may run.
        to: the file to write, or a folder for it; by default one in `mlbackups`.
        with_artifacts: False leaves them out.

    Raises:
        StoreError: there is nothing to back up, no room, or the file exists.
        ServerError: an artifact changed while it was read.
    """
    store = Store(settings.runs_dir)
    if settings.is_embedded and not store.database.exists():
        raise StoreError(f"there is nothing to back up: {store.database} does not exist")
    target = _target(store, to)
    source = artifact_folder if settings.artifacts is None else bucket_copy
    artifacts, left_out = source.objects(settings) if with_artifacts else ({}, [])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_room(store, target.parent, sum(artifacts.values()))
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as scratch:
            databases, strays = _copy_databases(settings, Path(scratch))
            written = Path(scratch, "archive")
            with archive.writing(written) as writer:
                for name in databases:
                    writer.add(Path(scratch, name), name)
                left_out += strays + source.add_all(settings, writer, list(artifacts))
                manifest = _manifest(settings, writer, databases, left_out, with_artifacts)
                writer.finish(manifest)
            _put_in_place(written, target)
    except OSError as error:
        raise StoreError(
            f"the backup {target} cannot be written: {error.strerror or error}; choose another "
            "place with --to"
        ) from None
    return Backup(target, manifest)


def folder_names(folder: Path) -> list[Path]:
    """The names by which addresses may know `folder`: as it was said, and without links."""
    return list(dict.fromkeys((folder.absolute(), folder.resolve())))


def free_name(folder: Path, stem: str, suffix: str = "") -> Path:
    """A name in `folder` that says this moment (UTC) and that nothing has yet."""
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    for again in itertools.chain([""], map("-{}".format, itertools.count(2))):
        path = folder / f"{stem}-{moment}{again}{suffix}"
        if not path.exists():
            return path
    raise AssertionError("numbers do not end")


def _target(store: Store, to: Path | None) -> Path:
    if to is None or to.is_dir():
        target = free_name(store.backups if to is None else to.absolute(), "mlflow", _SUFFIX)
    else:
        target = to.absolute()
    if target.exists():
        raise StoreError(f"{target} exists: choose another name with --to")
    if target.is_relative_to(store.artifacts):
        raise StoreError(f"{target} lies among the artifacts: choose another place with --to")
    return target


def _check_room(store: Store, folder: Path, artifacts: int) -> None:
    databases = [path for path in (store.database, store.logins) if path.exists()]
    copies = 2 * sum(path.stat().st_size for path in databases)  # beside, and in the archive
    check_room(folder, copies + artifacts, "make a backup there")


def _copy_databases(
    settings: ServerSettings, scratch: Path
) -> tuple[dict[str, DatabaseRecord], list[str]]:
    """Copy the databases into `scratch`; also the addresses of artifacts that lie elsewhere."""
    store = Store(settings.runs_dir)
    records: dict[str, DatabaseRecord] = {}
    strays: list[str] = []
    (scratch / DATABASES).mkdir()
    if not settings.is_embedded:
        name = f"{DATABASES}/{DUMP}"
        return {name: postgres.dump(settings, scratch / name)}, []
    for source in (store.database, store.logins):
        if not source.exists():
            continue
        name = f"{DATABASES}/{source.name}"
        sqlite_file.copy(source, scratch / name)
        with sqlite_file.opened(scratch / name) as connection:
            records[name] = DatabaseRecord(
                kind="sqlite",
                schema_version=sqlite_file.schema_version(connection),
                rows=sqlite_file.row_counts(connection),
            )
            strays += [
                f"{address} (not in {store.artifacts})"
                for address in locations.elsewhere(connection, folder_names(store.artifacts))
            ]
    return records, strays


def _manifest(
    settings: ServerSettings,
    writer: Writer,
    databases: dict[str, DatabaseRecord],
    left_out: list[str],
    with_artifacts: bool,
) -> Manifest:
    store = Store(settings.runs_dir)
    return Manifest(
        mlflow_version=schema.mlflow_version(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        runs_dirs=[str(path) for path in folder_names(store.runs_dir)],
        databases=databases,
        artifacts=(settings.artifacts or str(store.artifacts)) if with_artifacts else None,
        left_out=left_out,
        members=dict(writer.members),
    )


def _put_in_place(written: Path, target: Path) -> None:
    with written.open("rb") as file:
        os.fsync(file.fileno())
    written.rename(target)
