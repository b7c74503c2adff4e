"""What SQLite objects to, in words; each case with a real file."""

import contextlib
import os
import sqlite3
import subprocess
import sys

import pytest

from mlflow_server import sqlite_file
from mlflow_server.errors import StoreError
from tests.mlflow_server.small_store import make_store

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another(database):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        process.communicate()


def test_a_database_that_another_program_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.1)
    database = make_store(tmp_path)
    with held_by_another(database) as pid, pytest.raises(StoreError) as caught:
        sqlite_file.check_whole(database)
    assert str(caught.value) == (
        f"the database {database} is in use by process {pid}: stop that, then try again"
    )
    sqlite_file.check_whole(database)


def test_a_damaged_one(tmp_path):
    database = make_store(tmp_path)
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)  # the first page stays: it opens
    with pytest.raises(StoreError, match=r"is damaged \(.+\): restore a backup with .*--replace"):
        sqlite_file.check_whole(database)


def test_a_full_disk(tmp_path):
    database = make_store(tmp_path)

    def fill():
        with sqlite_file.opened(database) as connection:
            connection.execute("PRAGMA max_page_count=1")
            connection.execute("CREATE TABLE large AS SELECT zeroblob(1000000)")

    with pytest.raises(StoreError, match=r"cannot be written \(database or disk is full\): make"):
        fill()


def test_one_of_another_user(tmp_path, monkeypatch):
    database = make_store(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    owner = "root" if database.stat().st_uid == 0 else sqlite_file._name(database.stat().st_uid)
    with (
        pytest.raises(StoreError, match=f"belongs to {owner} and cannot be written by user 40000"),
        sqlite_file.opened(database),
    ):
        pass


def test_a_folder_in_its_place(tmp_path):
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(StoreError, match="is no file: move away what"):
        sqlite_file.check_whole(tmp_path / "mlflow.db")


def test_a_large_one_is_not_checked_for_ever(tmp_path, monkeypatch):
    database = make_store(tmp_path)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE INDEX by_value ON metrics (value)")
        connection.executemany("INSERT INTO metrics VALUES ('k', ?, 'r')", zip(range(50_000)))
    monkeypatch.setattr(sqlite_file, "_CHECK_S", 0.0)
    sqlite_file.check_whole(database)


def test_a_copy_while_somebody_writes(tmp_path):
    """The rows of a transaction are in the copy all or none, also of one that is under way."""
    database = make_store(tmp_path, experiments=1)
    with contextlib.closing(sqlite3.connect(database)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("INSERT INTO runs VALUES ('done', '')")
        writer.commit()
        writer.execute("INSERT INTO runs VALUES ('under way', '')")
        sqlite_file.copy(database, tmp_path / "copy.db")
        writer.commit()
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copied:
        names = [name for (name,) in copied.execute("SELECT run_uuid FROM runs")]
    assert names == ["run0", "done"]
