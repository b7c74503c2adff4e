"""Backup and restore of an embedded store, end to end, with a store of a few tables."""

import contextlib
import shutil
import sqlite3
import threading

import pytest

from mlflow_server import backup, searches, sqlite_file, state
from mlflow_server.__main__ import main
from mlflow_server.backup import back_up
from mlflow_server.settings import ServerSettings
from search import lock
from tests.mlflow_server.small_store import OLDER, make_store, rows

PLOT = "mlartifacts/db-1/run1/artifacts/plot größe.png"
ADDRESSES = (
    "SELECT artifact_location FROM experiments UNION ALL SELECT artifact_uri FROM runs ORDER BY 1"
)


@pytest.fixture
def runs(tmp_path):
    make_store(tmp_path / "runs ä")
    return tmp_path / "runs ä"


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys, *arguments):
    code, out, err = run(capsys, *arguments)
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return code, err


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_into_another_folder(runs, tmp_path, capsys):
    file, new = tmp_path / "b.tar.gz", tmp_path / "elsewhere" / "new runs"
    assert run(capsys, "backup", "--runs-dir", runs, "--to", file) == (
        *(0, f"wrote {file}: 15 rows and 2 artifacts (0.0 MiB)\n", ""),
    )
    before = tree(runs)
    code, out, err = run(capsys, "restore", file, "--runs-dir", new)
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith(f"restored {file} of 20")
    assert first.endswith(
        f"into {new}: 15 rows of 4 tables, counted as in the backup, and 2 artifacts, checksums "
        "verified"
    )
    assert second == f"2 addresses of artifacts now name {new / 'mlartifacts'}"
    assert tree(runs) == before
    after = tree(new)
    assert sorted(after) == sorted(before)
    assert after[PLOT] == before[PLOT]
    place = (new / "mlartifacts").as_uri()
    assert [address for (address,) in rows(new / "mlflow.db", ADDRESSES)] == [
        f"{place}/db-1",
        f"{place}/db-1/run1/artifacts",
        "mlflow-artifacts:/0",
        "mlflow-artifacts:/0/run0/artifacts",
    ]
    for table in ("metrics", "alembic_version"):
        query = f"SELECT * FROM {table}"
        assert rows(new / "mlflow.db", query) == rows(runs / "mlflow.db", query)
    assert [path.name for path in new.iterdir() if path.name.startswith(".")] == []


def test_over_what_is_there(runs, capsys):
    file = back_up(ServerSettings(runs_dir=runs)).path
    assert file.parent == runs / "mlbackups"
    old = tree(runs)
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as connection, connection:
        connection.execute("DELETE FROM metrics")
    (runs / PLOT).unlink()
    spoilt = tree(runs)
    code, message = refused(capsys, "restore", file, "--runs-dir", runs)
    assert code == 2
    assert f"{runs / 'mlartifacts'} exists: add --replace, which moves it to " in message
    assert tree(runs) == spoilt
    code, out, _ = run(capsys, "restore", file, "--runs-dir", runs, "--replace")
    assert code == 0
    (aside,) = (runs / "mlbackups").glob("replaced-*")
    assert out.splitlines()[1] == f"what was there before is in {aside}"
    assert rows(runs / "mlflow.db", "SELECT count(*) FROM metrics") == [(10,)]
    assert (runs / PLOT).read_bytes() == old[PLOT]
    assert rows(aside / "mlflow.db", "SELECT count(*) FROM metrics") == [(0,)]
    assert sorted(tree(aside)) == ["mlartifacts/empty.txt", "mlflow.db"]


def test_over_what_is_damaged(runs, tmp_path, capsys):
    """The very case for a backup."""
    file = back_up(ServerSettings(runs_dir=runs), to=tmp_path).path
    spoilt = b"a diary of more than sixteen characters" * 1000
    (runs / "mlflow.db").write_bytes(spoilt)
    assert run(capsys, "restore", file, "--runs-dir", runs, "--replace")[0] == 0
    assert rows(runs / "mlflow.db", "SELECT count(*) FROM metrics") == [(10,)]
    (aside,) = (runs / "mlbackups").glob("replaced-*")
    assert (aside / "mlflow.db").read_bytes() == spoilt


def test_nobody_else_may_read_it(runs):
    file = back_up(ServerSettings(runs_dir=runs)).path
    assert file.stat().st_mode & 0o777 == 0o600


def test_while_searches_write(runs):
    """Two tables that are written in one transaction agree in the backup."""
    stopping = threading.Event()

    def write():
        with contextlib.closing(sqlite3.connect(runs / "mlflow.db", timeout=30)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            number = 0
            while not stopping.is_set():
                number += 1
                with connection:
                    connection.execute("INSERT INTO runs VALUES (?, '')", [f"new{number}"])
                    connection.execute("INSERT INTO metrics VALUES ('k', 0, ?)", [f"new{number}"])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = []
        for number in range(5):
            made = back_up(ServerSettings(runs_dir=runs), to=runs / f"{number}.tar.gz")
            counts.append(made.manifest.databases["databases/mlflow.db"].rows)
    finally:
        stopping.set()
        writer.join()
    assert all(found["metrics"] - 10 == found["runs"] - 2 for found in counts)
    assert counts[-1]["runs"] > counts[0]["runs"] >= 2


def test_the_database_alone(runs, tmp_path, capsys):
    file = tmp_path / "b.tar.gz"
    code, out, _ = run(capsys, "backup", "--runs-dir", runs, "--to", file, "--database-only")
    assert (code, out) == (0, f"wrote {file}: 15 rows and no artifacts\n")
    artifacts = (runs / PLOT).read_bytes()
    assert run(capsys, "restore", file, "--runs-dir", runs, "--replace")[0] == 0
    assert (runs / PLOT).read_bytes() == artifacts  # they stay


def test_users_come_along(runs, tmp_path, capsys):
    with contextlib.closing(sqlite3.connect(runs / "mlflow_auth.db")) as connection, connection:
        connection.execute("CREATE TABLE users (username)")
        connection.execute("INSERT INTO users VALUES ('ann')")
    file = back_up(ServerSettings(runs_dir=runs), to=tmp_path).path
    assert run(capsys, "restore", file, "--runs-dir", tmp_path / "new")[0] == 0
    assert rows(tmp_path / "new" / "mlflow_auth.db", "SELECT * FROM users") == [("ann",)]


def test_what_is_not_in_it_is_said(runs, tmp_path, capsys):
    (runs / "mlartifacts" / "link").symlink_to("/etc/hostname")
    (runs / "mlartifacts" / "folder").symlink_to(tmp_path)
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as connection, connection:
        near = f"{(runs / 'mlartifacts').as_uri()}-2/x"  # a neighbour, not inside
        connection.execute("INSERT INTO experiments VALUES (7, ?), (8, 's3://b/x')", [near])
    code, out, _ = run(capsys, "backup", "--runs-dir", runs, "--to", tmp_path)
    assert code == 0
    assert sorted(out.splitlines()[1:]) == sorted(
        [
            f"left out: {runs / 'mlartifacts' / 'link'} (no plain file)",
            f"left out: {runs / 'mlartifacts' / 'folder'} (no plain file)",
            f"left out: {near} (not in {runs / 'mlartifacts'})",
            f"left out: s3://b/x (not in {runs / 'mlartifacts'})",
        ]
    )


def test_artifacts_on_a_larger_disk(runs, tmp_path, capsys):
    """The folder itself may be a link; addresses know it by either name."""
    (tmp_path / "large").mkdir()
    shutil.move(runs / "mlartifacts", tmp_path / "large" / "artifacts")
    (runs / "mlartifacts").symlink_to(tmp_path / "large" / "artifacts")
    made = back_up(ServerSettings(runs_dir=runs), to=tmp_path)
    assert len(made.manifest.members) == 3
    assert run(capsys, "restore", made.path, "--runs-dir", tmp_path / "new")[0] == 0
    assert (tmp_path / "new" / PLOT).read_bytes() == (runs / PLOT).read_bytes()


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("mlflow.db", "mlflow.db exists: choose another name with --to"),
        ("mlartifacts/b.tar.gz", "lies among the artifacts: choose another place with --to"),
        ("mlflow.db/b.tar.gz", "cannot be written: File exists; choose another place with"),
    ],
)
def test_a_place_that_is_none(to, message, runs, capsys):
    before = tree(runs)
    code, err = refused(capsys, "backup", "--runs-dir", runs, "--to", runs / to)
    assert code == 2
    assert message in err
    assert tree(runs) == before


def test_nothing_to_back_up(tmp_path, capsys):
    code, err = refused(capsys, "backup", "--runs-dir", tmp_path)
    assert (code, err) == (
        2,
        f"error: there is nothing to back up: {tmp_path / 'mlflow.db'} does not exist\n",
    )


def test_a_disk_that_is_full_leaves_nothing(runs, tmp_path, capsys, monkeypatch):
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 2**24))
    code, err = refused(capsys, "backup", "--runs-dir", runs, "--to", place)
    assert code == 2
    assert f"the disk of {place} has 16 MiB free, and to make a backup there 16 MiB" in err
    monkeypatch.undo()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_put_in_place", full)
    code, err = refused(capsys, "backup", "--runs-dir", runs, "--to", place)
    assert code == 2
    assert "cannot be written: No space left on device; choose another place with --to" in err
    assert list(place.iterdir()) == []


def test_not_while_a_server_or_a_search_runs(runs, capsys):
    file = back_up(ServerSettings(runs_dir=runs)).path
    command = ("restore", file, "--runs-dir", runs, "--replace")
    before = tree(runs)
    with state.hold(runs):
        code, err = refused(capsys, *command)
    assert code == 1
    assert f"{runs} is being started, backed up or restored by another process: wait" in err
    (runs / "my-search").mkdir()
    with lock.hold(runs / "my-search"):
        code, err = refused(capsys, *command)
    assert code == 1
    assert f"search 'my-search' runs in {runs} and writes to its store: wait for its end, or" in err
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("SELECT * FROM runs").fetchall()
        code, err = refused(capsys, *command)
    assert code == 2
    assert "is in use by another program: stop that, then try again" in err
    assert set(tree(runs)) == set(before)
    assert rows(runs / "mlflow.db", "SELECT count(*) FROM metrics") == [(10,)]


def test_a_backup_that_is_not_what_was_counted(runs, tmp_path, capsys, monkeypatch):
    counts = sqlite_file.row_counts

    def wrong(connection):
        return counts(connection) | {"runs": 3}

    monkeypatch.setattr(sqlite_file, "row_counts", wrong)
    file = back_up(ServerSettings(runs_dir=runs), to=tmp_path).path
    monkeypatch.undo()
    code, err = refused(capsys, "restore", file, "--runs-dir", tmp_path / "new")
    assert code == 1
    assert "mlflow.db has 2 rows of runs, and had 3 when it was backed up: nothing was" in err
    assert not (tmp_path / "new" / "mlflow.db").exists()


def test_databases_by_other_names_are_refused(runs, tmp_path, capsys, monkeypatch):
    (tmp_path / "evil").mkdir()
    evil = make_store(tmp_path / "evil").rename(tmp_path / "evil" / "search.lock")
    made = ServerSettings(runs_dir=runs)
    monkeypatch.setattr(backup.Store, "logins", evil)
    file = back_up(made, to=tmp_path).path
    monkeypatch.undo()
    code, err = refused(capsys, "restore", file, "--runs-dir", tmp_path / "new")
    assert code == 2
    assert "the store is to be in SQLite, and" in err
    assert "holds databases/mlflow.db, databases/search.lock: use another backup" in err


def test_a_backup_of_an_older_mlflow_says_what_to_do(tmp_path, capsys):
    make_store(tmp_path / "old", version=OLDER)
    file = back_up(ServerSettings(runs_dir=tmp_path / "old"), to=tmp_path).path
    code, out, _ = run(capsys, "restore", file, "--runs-dir", tmp_path / "new")
    assert code == 0
    assert out.splitlines()[-1].endswith("its schema is older; start with --upgrade")


def test_a_backup_that_is_absent(tmp_path, capsys):
    code, err = refused(capsys, "restore", tmp_path / "b.tar.gz", "--runs-dir", tmp_path)
    assert (code, err) == (2, f"error: there is no backup {tmp_path / 'b.tar.gz'}\n")


def test_the_same_name_of_a_lock_as_a_search():
    assert lock.LOCK_NAME in searches.LOCKS
