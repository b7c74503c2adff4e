"""A backup back into a runs folder: verified first, counted, and put in place at the end.

Nothing that lay there is deleted: with `--replace` it moves into `mlbackups/replaced-...`.
"""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mlflow_server import archive, bucket_copy, locations, postgres, schema, sqlite_file, state
from mlflow_server.archive import ARTIFACTS, DATABASES, DatabaseRecord, Manifest
from mlflow_server.backup import DUMP, back_up, free_name
from mlflow_server.database_address import libpq_url
from mlflow_server.errors import DamagedError, ServerError, StoreError
from mlflow_server.searches import check_no_search
from mlflow_server.settings import ServerSettings
from mlflow_server.store import Store

Say = Callable[[str], None]
_DUMP: Final = f"{DATABASES}/{DUMP}"


def restore(settings: ServerSettings, backup: Path, *, replace: bool, say: Say) -> None:
    """Put what `backup` holds into the store of `settings`.

    Args:
        settings: of a server that does not run.
        backup: a file of `back_up`.
        replace: move a store that is there aside.
        say: takes lines for the user.

    Raises:
        StoreError: the backup or the place cannot be used; the place is as it was.
        ServerError: a server or a search runs on it, or the rows are not those of the backup.
    """
    store = Store(settings.runs_dir)
    store.prepare()
    with state.hold(store.runs_dir):
        if settings.is_embedded:
            check_no_search(store.runs_dir)
        with (
            store.initialisation_lock(),
            tempfile.TemporaryDirectory(prefix=".restore-", dir=store.runs_dir) as scratch,
        ):
            unpacked = Path(scratch)
            manifest = archive.unpack(backup, unpacked)
            _check_kind(settings, backup, manifest)
            _check_place(settings, manifest, replace=replace)
            if _is_for_bucket(settings, manifest):  # first: it is of no use alone, and of no harm
                bucket_copy.upload(settings, unpacked / ARTIFACTS)
            moved, kept = 0, None
            if settings.is_embedded:
                moved = _ready_files(store, manifest, unpacked)
            else:
                kept = _into_postgres(settings, manifest, unpacked, replace=replace)
            aside = _exchange(settings, manifest, unpacked)
    say(_counted(settings, backup, manifest))
    if moved:
        say(f"{moved} addresses of artifacts now name {store.artifacts}")
    for place in (kept, aside):
        if place is not None:
            say(f"what was there before is in {place}")
    _say_fit(manifest, say)


def _check_kind(settings: ServerSettings, backup: Path, manifest: Manifest) -> None:
    store = Store(settings.runs_dir)
    files = {f"{DATABASES}/{path.name}" for path in (store.database, store.logins)}
    wanted, kind = (files, "SQLite") if settings.is_embedded else ({_DUMP}, "PostgreSQL")
    if not manifest.databases or not set(manifest.databases) <= wanted:
        found = ", ".join(sorted(manifest.databases)) or "no database"
        raise StoreError(
            f"the store is to be in {kind}, and {backup} holds {found}: "
            + ("say --database" if _DUMP in manifest.databases else "use another backup")
        )


def _check_place(settings: ServerSettings, manifest: Manifest, *, replace: bool) -> None:
    store = Store(settings.runs_dir)
    there = [path for path, _ in _pieces(settings, manifest) if path.exists()]
    if there and not replace:
        raise StoreError(
            f"{there[0]} exists: add --replace, which moves it to {store.backups}, or choose "
            "another --runs-dir"
        )
    for path in there:
        if path.is_file():
            with contextlib.suppress(DamagedError):  # which may be why there is a restore
                sqlite_file.check_unused(path)
    if not settings.is_embedded:
        postgres.check_place(settings, replace=replace)
    if _is_for_bucket(settings, manifest):
        bucket_copy.check_place(settings, replace=replace)


def _is_for_bucket(settings: ServerSettings, manifest: Manifest) -> bool:
    return manifest.artifacts is not None and settings.artifacts is not None


def _pieces(settings: ServerSettings, manifest: Manifest) -> list[tuple[Path, str]]:
    """What a restore puts into the folder, artifacts first; the name of each in the backup."""
    store = Store(settings.runs_dir)
    in_folder = manifest.artifacts is not None and settings.artifacts is None
    pieces = [(store.artifacts, ARTIFACTS)] if in_folder else []
    names = [name for name in manifest.databases if name != _DUMP]
    return [*pieces, *((store.runs_dir / Path(name).name, name) for name in names)]


def _ready_files(store: Store, manifest: Manifest, unpacked: Path) -> int:
    """Count the rows of the SQLite files, and let addresses name this store; returns how many."""
    for name, record in manifest.databases.items():
        _compare(unpacked / name, record)
    database = unpacked / DATABASES / store.database.name
    if not database.exists():
        return 0
    old = [Path(folder, store.artifacts.name) for folder in manifest.runs_dirs]
    with sqlite_file.opened(database) as connection:
        return locations.move(connection, old, store.artifacts)


def _into_postgres(
    settings: ServerSettings, manifest: Manifest, unpacked: Path, *, replace: bool
) -> Path | None:
    """Restore the dump; returns the backup of what was there."""
    is_empty = postgres.check_place(settings, replace=replace)
    kept = None if is_empty else back_up(settings, with_artifacts=False).path
    postgres.restore(settings, unpacked / _DUMP, manifest.databases[_DUMP])
    return kept


def _compare(database: Path, record: DatabaseRecord) -> None:
    with sqlite_file.opened(database) as connection:
        found = sqlite_file.row_counts(connection)
    wrong = [name for name in record.rows | found if record.rows.get(name) != found.get(name)]
    if wrong:
        raise ServerError(
            f"{database.name} has {found.get(wrong[0])} rows of {wrong[0]}, and had "
            f"{record.rows.get(wrong[0])} when it was backed up: nothing was restored"
        )


def _exchange(settings: ServerSettings, manifest: Manifest, unpacked: Path) -> Path | None:
    store = Store(settings.runs_dir)
    pieces = _pieces(settings, manifest)
    try:
        aside = _put_aside(store, [path for path, _ in pieces])
        _put_in_place(pieces, unpacked)
    except OSError as error:
        raise ServerError(
            f"the restore stopped half-way: {error}; what was there before is in {store.backups} "
            "or still in its place: mend that, then restore again with --replace"
        ) from None
    return aside


def _put_aside(store: Store, paths: list[Path]) -> Path | None:
    there = [path for path in paths if path.exists() or path.is_symlink()]
    if not there:
        return None
    aside = free_name(store.backups, "replaced")
    aside.mkdir(parents=True)
    for path in reversed(there):  # a database never stands without its artifacts
        for file in (*sqlite_file.companions(path), path):
            file.rename(aside / file.name)
    return aside


def _put_in_place(pieces: list[tuple[Path, str]], unpacked: Path) -> None:
    for path, name in pieces:
        source = unpacked / name
        if not source.exists():
            source.mkdir()  # there were no artifacts
        if source.is_file():
            sqlite_file.put_in_place(source, path)
        else:
            source.rename(path)


def _counted(settings: ServerSettings, backup: Path, manifest: Manifest) -> str:
    rows = sum(sum(record.rows.values()) for record in manifest.databases.values())
    tables = sum(len(record.rows) for record in manifest.databases.values())
    files = sum(name.startswith(f"{ARTIFACTS}/") for name in manifest.members)
    place = str(settings.runs_dir)
    if settings.database is not None:
        place = f"{libpq_url(settings.database)} and {settings.runs_dir}"
    return (
        f"restored {backup} of {manifest.created} into {place}: {rows} rows of {tables} tables, "
        f"counted as in the backup, and {files} artifacts, checksums verified"
    )


def _say_fit(manifest: Manifest, say: Say) -> None:
    versions = [record.schema_version for record in manifest.databases.values()]
    version = next((version for version in versions if version is not None), None)
    fit = schema.installed().fit(version)
    if fit is not schema.Fit.CURRENT:
        say(
            f"it is of MLflow {manifest.mlflow_version}, and {schema.mlflow_version()} is "
            f"installed: its schema is {fit.value}"
            + ("; start with --upgrade" if fit is schema.Fit.OLDER else "")
        )
