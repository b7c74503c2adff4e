"""A SQLite file that MLflow can use: made if absent, migrated on request, never half of it.

MLflow does neither in one step: a process that is killed while it makes or migrates tables leaves
a file that MLflow then refuses for ever. So both happen to a file beside the real one, which takes
its place when all is done.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mlflow_server import postgres, schema, sqlite_file
from mlflow_server.backup import back_up
from mlflow_server.database import connected
from mlflow_server.database_address import libpq_url
from mlflow_server.errors import ServerError, StoreError
from mlflow_server.logs import last_words
from mlflow_server.process_environment import environment
from mlflow_server.searches import check_no_search
from mlflow_server.secret_environment import secret_environment
from mlflow_server.server import SAFE_PATH, die_with_parent
from mlflow_server.settings import ServerSettings
from mlflow_server.store import Store, check_room

_NEVER_LOST: Final = ("experiments", "runs", "params", "metrics", "tags", "registered_models")


def make_ready(settings: ServerSettings, *, upgrade: bool, say: Callable[[str], None]) -> None:
    """See that the database is whole and of the installed MLflow's schema.

    The caller holds the store's initialisation lock. An empty PostgreSQL database is MLflow's to
    fill: its transactions hold changes of tables too.

    Args:
        settings: of the server that is about to start.
        upgrade: migrate an older one, after a backup of it.
        say: takes a line for the user.

    Raises:
        StoreError: the database cannot be used as it is.
        ServerError: MLflow failed to make or to migrate it.
    """
    if not settings.is_embedded:
        _make_postgres_ready(settings, upgrade=upgrade, say=say)
        return
    store = Store(settings.runs_dir)
    for left in store.runs_dir.glob(f"{store.database.name}.new-*"):  # by one that was killed
        left.unlink()
    if not store.database.exists():
        _make(settings, store)
        return
    sqlite_file.check_whole(store.database)
    with sqlite_file.opened(store.database) as connection:
        version = sqlite_file.schema_version(connection)
        is_empty = sqlite_file.holds_nothing(connection)
        has_tables = bool(sqlite_file.tables(connection))
    fit = schema.installed().fit(version)
    if fit is schema.Fit.CURRENT:
        return
    if is_empty and fit is not schema.Fit.NEWER:  # nobody ended making it
        _put_aside(store, say if has_tables else None)
        _make(settings, store)
    elif fit is schema.Fit.OLDER and upgrade:
        _upgrade(settings, store, say)
    else:
        raise StoreError(refusal(str(store.database), fit, version))


def _make_postgres_ready(
    settings: ServerSettings, *, upgrade: bool, say: Callable[[str], None]
) -> None:
    assert settings.database is not None, "no embedded one"
    with connected(settings) as connection:
        version = postgres.schema_version(connection)
        is_empty = postgres.holds_nothing(connection)
    fit = schema.installed().fit(version)
    if fit is schema.Fit.CURRENT or (version is None and is_empty):
        return
    if fit is schema.Fit.OLDER and upgrade:
        _back_up_first(settings, say)
        migrate(settings, settings.database)
        say(f"the database is now of schema {schema.installed().head}")
        return
    raise StoreError(refusal(libpq_url(settings.database), fit, version))


def refusal(database: str, fit: schema.Fit, version: str | None) -> str:
    """Why a database that stands as `fit` says is not served."""
    mine = f"MLflow {schema.mlflow_version()}"
    match fit:
        case schema.Fit.OLDER:
            return (
                f"the database {database} was made by an older MLflow (its schema is {version}, "
                f"{mine} needs {schema.installed().head}): add --upgrade, which backs it up first"
            )
        case schema.Fit.NEWER:
            return (
                f"the database {database} was made by a newer MLflow (its schema {version} is "
                f"unknown to {mine}): install that version here, or restore a backup of {mine}"
            )
        case _:
            return (
                f"the database {database} names no schema of MLflow: it is another program's, or "
                "half of one; move it away to begin a new one, or restore a backup"
            )


def migrate(settings: ServerSettings, uri: str) -> None:
    """Have MLflow bring the database at `uri` to its schema; one without tables gets them.

    Raises:
        ServerError: MLflow failed.
    """
    log = Store(settings.runs_dir).log
    with log.open("ab") as out:
        done = subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", uri],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                **environment(settings),
                **secret_environment(settings),
                **SAFE_PATH,
            },
            cwd=settings.runs_dir,
            preexec_fn=die_with_parent,
            check=False,
        )
    if done.returncode != 0:
        raise ServerError(f"MLflow could not make or migrate the database; {last_words(log)}")


def _fresh_name(store: Store) -> Path:
    return store.database.with_name(f"{store.database.name}.new-{time.time_ns()}")


def _make(settings: ServerSettings, store: Store) -> None:
    fresh = _fresh_name(store)
    try:
        migrate(settings, f"sqlite:///{fresh}")
        _put_in_place(fresh, store.database)
    finally:
        fresh.unlink(missing_ok=True)


def _upgrade(settings: ServerSettings, store: Store, say: Callable[[str], None]) -> None:
    check_no_search(store.runs_dir)
    _back_up_first(settings, say)
    sqlite_file.check_unused(store.database)
    check_room(store.runs_dir, 2 * store.database.stat().st_size, "migrate its database")
    fresh = _fresh_name(store)
    try:
        sqlite_file.copy(store.database, fresh)
        migrate(settings, f"sqlite:///{fresh}")
        lost = _lost(store.database, fresh)
        if lost:
            raise ServerError(
                f"MLflow's migration lost {lost}; the database is left as it was: tell MLflow"
            )
        _put_in_place(fresh, store.database)
    finally:
        fresh.unlink(missing_ok=True)
    say(f"{store.database} is now of schema {schema.installed().head}")


def _back_up_first(settings: ServerSettings, say: Callable[[str], None]) -> None:
    kept = back_up(settings, with_artifacts=False)
    say(f"backup of the database as it was: {kept.path}")


def _lost(old: Path, new: Path) -> str:
    with sqlite_file.opened(old) as connection:
        before = sqlite_file.row_counts(connection)
    with sqlite_file.opened(new) as connection:
        after = sqlite_file.row_counts(connection)
    return ", ".join(
        f"{before[table] - after.get(table, 0)} rows of {table}"
        for table in _NEVER_LOST
        if before.get(table, 0) > after.get(table, 0)
    )


def _put_in_place(fresh: Path, database: Path) -> None:
    with sqlite_file.opened(fresh) as connection:
        version = sqlite_file.schema_version(connection)
    if version != schema.installed().head:
        raise ServerError(
            f"MLflow made a database of schema {version} instead of {schema.installed().head}"
        )
    sqlite_file.put_in_place(fresh, database)


def _put_aside(store: Store, say: Callable[[str], None] | None) -> None:
    sqlite_file.check_unused(store.database)
    if say is None:
        store.database.unlink()
        return
    aside = store.database.with_name(f"{store.database.name}.half-made-{time.time_ns()}")
    store.database.rename(aside)
    say(f"{store.database} held no experiment and half of its tables: put aside as {aside.name}")
