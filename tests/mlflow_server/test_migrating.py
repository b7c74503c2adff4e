"""A database is made and migrated beside its place; MLflow's part is played by SQL."""

import contextlib
import sqlite3

import pytest

from mlflow_server import migrating, schema
from mlflow_server.errors import ServerError, StoreError
from mlflow_server.settings import ServerSettings
from mlflow_server.sqlite_file import row_counts
from mlflow_server.store import Store
from search import lock
from tests.mlflow_server.small_store import OLDER, make_store, rows

HEAD = schema.installed().head


@pytest.fixture
def ready(tmp_path, monkeypatch):
    """Run `make_ready` on the folder, MLflow being `script`; returns the lines that were said."""

    def run(script="", *, upgrade=False, raises=None):
        def migrate(_settings, uri):
            with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
                connection.executescript(script)
            if raises is not None:
                raise raises

        monkeypatch.setattr(migrating, "migrate", migrate)
        lines = []
        settings = ServerSettings(runs_dir=tmp_path)
        migrating.make_ready(settings, upgrade=upgrade, say=lines.append)
        return lines

    return run


MADE = f"CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('{HEAD}');"
MIGRATED = f"UPDATE alembic_version SET version_num = '{HEAD}';"


def version(folder):
    return rows(folder / "mlflow.db", "SELECT version_num FROM alembic_version")[0][0]


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_fresh_one(ready, tmp_path):
    assert ready(MADE) == []
    assert version(tmp_path) == HEAD
    assert rows(tmp_path / "mlflow.db", "PRAGMA journal_mode") == [("wal",)]
    assert [name for name in files(tmp_path) if "new" in name] == []


def test_mlflow_killed_while_it_makes_one_leaves_nothing(ready, tmp_path):
    with pytest.raises(ServerError):
        ready("CREATE TABLE secrets (id);", raises=ServerError("killed"))
    assert files(tmp_path) == []
    (tmp_path / "mlflow.db.new-123").write_bytes(b"of a start that was killed")
    ready(MADE)
    assert [name for name in files(tmp_path) if "new" in name] == []


@pytest.mark.parametrize(
    "half",
    [
        "CREATE TABLE secrets (id); CREATE TABLE experiments (experiment_id);",
        "CREATE TABLE experiments (experiment_id); CREATE TABLE alembic_version (version_num);",
        f"CREATE TABLE experiments (id); {MADE.replace(HEAD, OLDER)}",
    ],
)
def test_half_a_database_without_an_experiment_is_put_aside(half, ready, tmp_path):
    """MLflow itself would say `table secrets already exists` for ever."""
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.executescript(half)
    (line,) = ready(MADE)
    (aside,) = tmp_path.glob("mlflow.db.half-made-*")
    assert line == (
        f"{tmp_path / 'mlflow.db'} held no experiment and half of its tables: put aside as "
        f"{aside.name}"
    )
    assert version(tmp_path) == HEAD


def test_an_empty_file_is_no_database_yet(ready, tmp_path):
    (tmp_path / "mlflow.db").touch()
    assert ready(MADE) == []
    assert version(tmp_path) == HEAD


def test_what_an_earlier_database_left_beside_is_not_taken_for_the_new_ones(ready, tmp_path):
    """A database was moved away without its write-ahead log: SQLite would replay that."""
    database = make_store(tmp_path)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE earlier (x)")
        connection.commit()
        log = (tmp_path / "mlflow.db-wal").read_bytes()
    assert log != b""
    database.unlink()
    (tmp_path / "mlflow.db-wal").write_bytes(log)
    ready(MADE)
    assert rows(database, "SELECT name FROM sqlite_master") == [("alembic_version",)]
    (kept,) = tmp_path.glob("mlflow.db-wal.left-*")
    assert kept.read_bytes() == log


def test_the_current_one_is_left_alone(ready, tmp_path):
    make_store(tmp_path)
    assert ready("this would be no SQL") == []


def test_an_older_one_wants_to_be_asked(ready, tmp_path):
    make_store(tmp_path, version=OLDER)
    with pytest.raises(StoreError) as caught:
        ready()
    assert str(caught.value) == (
        f"the database {tmp_path / 'mlflow.db'} was made by an older MLflow (its schema is "
        f"{OLDER}, MLflow {schema.mlflow_version()} needs {HEAD}): add --upgrade, which backs it "
        "up first"
    )
    assert version(tmp_path) == OLDER


def test_an_upgrade_keeps_a_backup_and_every_row(ready, tmp_path):
    make_store(tmp_path, version=OLDER)
    before = rows(tmp_path / "mlflow.db", "SELECT * FROM metrics")
    first, second = ready(MIGRATED, upgrade=True)
    (backup,) = (tmp_path / "mlbackups").iterdir()
    assert first == f"backup of the database as it was: {backup}"
    assert second == f"{tmp_path / 'mlflow.db'} is now of schema {HEAD}"
    assert version(tmp_path) == HEAD
    assert rows(tmp_path / "mlflow.db", "SELECT * FROM metrics") == before


@pytest.mark.parametrize(
    ("script", "raises", "message"),
    [
        (MIGRATED, ServerError("MLflow could not"), "MLflow could not"),
        (MIGRATED + "DELETE FROM runs;", None, "migration lost 2 rows of runs; the database is le"),
        ("", None, f"made a database of schema {OLDER} instead of {HEAD}"),
    ],
)
def test_a_migration_that_fails_changes_nothing(script, raises, message, ready, tmp_path):
    make_store(tmp_path, version=OLDER)
    with pytest.raises(ServerError, match=message):
        ready(script, upgrade=True, raises=raises)
    assert version(tmp_path) == OLDER
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert row_counts(connection)["runs"] == 2
    assert list(tmp_path.glob("*.new-*")) == []
    assert len(list(Store(tmp_path).backups.iterdir())) == 1


@pytest.mark.parametrize("upgrade", [False, True])
def test_a_newer_one_names_the_cure(upgrade, ready, tmp_path):
    make_store(tmp_path, version="fffffffffff0")
    with pytest.raises(StoreError, match=r"by a newer MLflow .its schema fffffffffff0 is unknown"):
        ready(MIGRATED, upgrade=upgrade)
    assert version(tmp_path) == "fffffffffff0"


def test_another_programs_database(ready, tmp_path):
    make_store(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.executescript("DROP TABLE alembic_version")
    with pytest.raises(StoreError, match="names no schema of MLflow: it is another program's"):
        ready(MADE, upgrade=True)


def test_a_database_in_use_is_not_upgraded(ready, tmp_path):
    database = make_store(tmp_path, version=OLDER)
    with contextlib.closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("SELECT * FROM runs").fetchall()
        with pytest.raises(StoreError, match="is in use by another program: stop that"):
            ready(MIGRATED, upgrade=True)
    assert version(tmp_path) == OLDER


def test_not_while_a_search_runs(ready, tmp_path):
    make_store(tmp_path, version=OLDER)
    (tmp_path / "my-search").mkdir()
    with lock.hold(tmp_path / "my-search"), pytest.raises(ServerError, match="'my-search' runs in"):
        ready(MIGRATED, upgrade=True)
    assert version(tmp_path) == OLDER
