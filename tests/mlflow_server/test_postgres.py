"""Backup and restore of a PostgreSQL store: a real PostgreSQL, a store of a few tables."""

import contextlib
import threading

import pytest

from mlflow_server import migrating, postgres, schema
from mlflow_server.__main__ import main
from mlflow_server.backup import back_up
from mlflow_server.errors import ServerError, StoreError
from mlflow_server.settings import ServerSettings
from mlflow_server.store import Store
from tests.mlflow_server.small_store import OLDER, make_store
from tests.postgres import PASSWORD, served_postgres

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def cluster():
    with served_postgres() as made:
        yield made


@pytest.fixture
def told(cluster, tmp_path, request):
    """Settings of a fresh database."""
    name = f"db_{abs(hash(request.node.name)) % 10**8}"
    execute(cluster, "postgres", f"CREATE DATABASE {name}")
    return settings(cluster, tmp_path, name)


def settings(cluster, tmp_path, name):
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    return ServerSettings(
        runs_dir=tmp_path / "runs",
        database=cluster.url("postgresql+psycopg", database=name),
        database_password_file=secret,
    )


def execute(cluster, database, *statements):
    import psycopg

    url = cluster.url(password=PASSWORD, database=database)
    with contextlib.closing(psycopg.connect(url, autocommit=True)) as connection:
        for statement in statements:
            done = connection.execute(statement)
        return done.fetchall() if done.description else None


def fill(cluster, told, version=None):
    """Tables and artifacts; one name needs quotes."""
    execute(
        cluster,
        name_of(told),
        "CREATE TABLE alembic_version (version_num varchar(32))",
        f"INSERT INTO alembic_version VALUES ('{version or schema.installed().head}')",
        "CREATE TABLE experiments (experiment_id serial PRIMARY KEY, name text)",
        "INSERT INTO experiments (name) VALUES ('größe'), ('b')",
        "CREATE TABLE runs (run_uuid text, experiment_id int REFERENCES experiments)",
        "INSERT INTO runs SELECT 'r' || n, 1 FROM generate_series(1, 1000) n",
        'CREATE TABLE "users of ""it""" (name text)',
    )
    make_store(told.runs_dir)
    (told.runs_dir / "mlflow.db").unlink()


def name_of(told):
    return told.database.rpartition("/")[2]


def run(capsys, told, *arguments):
    given = (
        *("--runs-dir", told.runs_dir, "--database", told.database),
        *("--database-password-file", told.database_password_file),
    )
    code = main([str(argument) for argument in (*arguments, *given)])
    out, err = capsys.readouterr()
    assert PASSWORD not in out + err
    return code, out, err


COUNTED = {"alembic_version": 1, "experiments": 2, "runs": 1000, 'users of "it"': 0}


def test_into_another_database(cluster, told, tmp_path, capsys):
    fill(cluster, told)
    file = tmp_path / "b.tar.gz"
    code, out, err = run(capsys, told, "backup", "--to", file)
    assert (code, err) == (0, "")
    assert out == f"wrote {file}: 1003 rows and 2 artifacts (0.0 MiB)\n"

    execute(cluster, "postgres", "CREATE DATABASE other")
    (tmp_path / "new").mkdir()
    new = settings(cluster, tmp_path / "new", "other")
    code, out, err = run(capsys, new, "restore", file)
    assert (code, err) == (0, "")
    assert "1003 rows of 4 tables, counted as in the backup, and 2 artifacts, checksums" in out
    with postgres.connected(new) as connection:
        assert postgres.row_counts(connection) == COUNTED
    assert execute(cluster, "other", "SELECT name FROM experiments ORDER BY 1") == [
        *(("b",), ("größe",)),
    ]
    (made,) = execute(cluster, "other", "INSERT INTO experiments (name) VALUES ('c') RETURNING 1")
    assert made == (1,)  # the sequence goes on
    assert (new.runs_dir / "mlartifacts" / "empty.txt").exists()


def test_over_what_is_there(cluster, told, capsys):
    fill(cluster, told)
    made = back_up(told)
    assert made.manifest.databases["databases/mlflow.dump"].rows == COUNTED
    execute(cluster, name_of(told), "DELETE FROM runs", "INSERT INTO experiments VALUES (9, 'x')")
    code, out, err = run(capsys, told, "restore", made.path)
    assert (code, out) == (2, "")
    assert "mlartifacts exists: add --replace" in err
    (told.runs_dir / "mlartifacts").rename(told.runs_dir / "away")
    code, out, err = run(capsys, told, "restore", made.path)
    assert (code, out) == (2, "")
    assert "has tables, such as alembic_version: add --replace, which backs them up first" in err
    code, out, err = run(capsys, told, "restore", made.path, "--replace")
    assert (code, err) == (0, "")
    with postgres.connected(told) as connection:
        assert postgres.row_counts(connection) == COUNTED
    kept = out.splitlines()[1].removeprefix("what was there before is in ")
    assert "mlbackups/mlflow-" in kept
    assert run(capsys, told, "restore", kept, "--replace")[0] == 0
    with postgres.connected(told) as connection:
        assert postgres.row_counts(connection) == COUNTED | {"experiments": 3, "runs": 0}


def test_while_searches_write(cluster, told):
    """The rows that are counted are those of the dump, whatever is written meanwhile."""
    fill(cluster, told)
    stopping = threading.Event()

    def write():
        while not stopping.is_set():
            execute(cluster, name_of(told), "INSERT INTO runs VALUES ('new', 1)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = back_up(told, with_artifacts=False)
    finally:
        stopping.set()
        writer.join()
    lines = []
    execute(cluster, "postgres", "CREATE DATABASE again")
    new = ServerSettings(
        runs_dir=told.runs_dir / "new",
        database=cluster.url("postgresql+psycopg", database="again"),
        database_password_file=told.database_password_file,
    )
    from mlflow_server.restore import restore

    restore(new, made.path, replace=False, say=lines.append)
    assert "counted as in the backup" in lines[0]


def test_one_that_others_use_is_not_replaced(cluster, told, capsys):
    fill(cluster, told)
    made = back_up(told, with_artifacts=False)
    with postgres.connected(told) as other:
        other.execute("SELECT 1")
        code, out, err = run(capsys, told, "restore", made.path, "--replace")
    assert (code, out) == (1, "")
    assert "1 other sessions use the database postgresql://ann@127.0.0.1:" in err


def test_a_restore_that_fails_changes_nothing(cluster, told, capsys):
    fill(cluster, told)
    made = back_up(told, with_artifacts=False)
    view = "CREATE VIEW v AS SELECT run_uuid FROM runs"  # keeps the table from being dropped
    execute(cluster, name_of(told), "DELETE FROM runs WHERE run_uuid = 'r1'", view)
    code, out, err = run(capsys, told, "restore", made.path, "--replace")
    assert (code, out) == (1, "")
    assert err.startswith("error: pg_restore failed on the database postgresql://ann@127.0.0.1:")
    assert "cannot drop table" in err
    assert err.count("\n") == 1
    with postgres.connected(told) as connection:
        assert postgres.row_counts(connection)["runs"] == 999


def test_what_kind_of_store_it_is(cluster, told, tmp_path, capsys):
    fill(cluster, told)
    made = back_up(told, with_artifacts=False)
    code = main(["restore", str(made.path), "--runs-dir", str(tmp_path / "embedded")])
    assert code == 2
    assert "to be in SQLite, and" in capsys.readouterr().err
    embedded = tmp_path / "sqlite"
    make_store(embedded)
    other = back_up(ServerSettings(runs_dir=embedded))
    code, _, err = run(capsys, told, "restore", other.path, "--replace")
    assert code == 2
    assert "the store is to be in PostgreSQL, and" in err
    assert "holds databases/mlflow.db: use another backup" in err


def test_an_empty_one(told):
    with pytest.raises(StoreError, match="there is nothing to back up: the database postgresql://"):
        back_up(told)
    migrating.make_ready(told, upgrade=False, say=print)  # MLflow's to fill


def test_an_older_schema(cluster, told, monkeypatch):
    fill(cluster, told, OLDER)
    with pytest.raises(StoreError, match=r"was made by an older MLflow .*: add --upgrade"):
        migrating.make_ready(told, upgrade=False, say=print)
    asked = []
    monkeypatch.setattr(migrating, "migrate", lambda _, uri: asked.append(uri))
    lines = []
    migrating.make_ready(told, upgrade=True, say=lines.append)
    assert asked == [told.database]
    (kept,) = Store(told.runs_dir).backups.iterdir()
    assert lines[0] == f"backup of the database as it was: {kept}"


def test_without_the_programs(cluster, told, monkeypatch, tmp_path):
    fill(cluster, told)
    monkeypatch.setattr(postgres, "_DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match="pg_dump is not installed: it comes with PostgreSQL's"):
        back_up(told)
    assert list(Store(told.runs_dir).backups.iterdir()) == []
