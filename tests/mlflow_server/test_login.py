"""The login's files, and where the first password comes from."""

import configparser
import contextlib
import getpass
import io
import os
import sqlite3
import sys

import pytest

from mlflow_server import login
from mlflow_server.private_files import read_private, write_private
from mlflow_server.secret_environment import secret_environment
from mlflow_server.settings import ServerSettings
from mlflow_server.store import StoreError
from mlflow_server.team import made_ready


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.delenv(login.PASSWORD_VARIABLE, raising=False)
    return ServerSettings(runs_dir=tmp_path, login=True)


@pytest.fixture
def said():
    return []


def typed(monkeypatch, *answers):
    """Somebody at a terminal who types these."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    remaining = list(answers)
    monkeypatch.setattr(getpass, "getpass", lambda _: remaining.pop(0))
    return remaining


@contextlib.contextmanager
def piped():
    """Nobody at a terminal; what is said goes to somebody who reads it."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as out, os.fdopen(reading), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO())
        patch.setattr(sys, "stdout", out)
        yield


def test_mlflow_reads_what_was_written(settings):
    database = "postgresql+psycopg://a%20b@db/x"
    login.write_files(ServerSettings(runs_dir=settings.runs_dir, login=True, database=database))
    parsed = configparser.ConfigParser()  # as MLflow does, with its interpolation
    parsed.read(login.config_path(settings))
    assert dict(parsed["mlflow"]) == {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": database,
        "admin_username": "admin",
        "auth_cache_ttl_seconds": "60",
    }


def test_the_key_is_made_once_and_nobody_else_reads_it(settings):
    login.write_files(settings)
    key = secret_environment(settings)["MLFLOW_FLASK_SERVER_SECRET_KEY"]
    assert len(key) >= 32
    login.write_files(settings)
    assert login.read_key(settings) == key
    for path in (login.config_path(settings), login.key_path(settings)):
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(list(settings.runs_dir.iterdir())) == 2
    login.key_path(settings).chmod(0o644)
    with pytest.raises(StoreError, match=r"the login's key .* can be read by others .mode 644.: "):
        secret_environment(settings)


def test_a_password_is_made_and_said_once(settings, said):
    with piped():
        first = login.first_password(settings, say=said.append)
        second = login.first_password(settings, say=said.append)
    assert first != second
    assert len(first) == 24
    assert said[0] == f"the user admin has the password {first} (shown this once, kept nowhere)"


def test_a_made_password_must_not_end_in_a_file(settings, said, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with (tmp_path / "log").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(StoreError, match="one that is made here would be kept where this"):
            login.first_password(settings, say=said.append)
    assert said == []


def test_a_password_is_asked_for_twice(settings, said, monkeypatch):
    left = typed(
        *(monkeypatch, "short", "long-enough-1", "long-enough-2", "long-enough-1", "long-enough-1")
    )
    assert login.first_password(settings, say=said.append) == "long-enough-1"
    assert (left, said) == ([], [])


def test_who_types_nothing_gets_one_made(settings, said, monkeypatch):
    typed(monkeypatch, "")
    assert login.first_password(settings, say=said.append) in said[0]


@pytest.mark.usefixtures("settings")
def test_a_password_from_the_environment_or_a_file(said, monkeypatch, tmp_path):
    write_private(tmp_path / "admin", "from-the-file-1\n")
    filed = ServerSettings(runs_dir=tmp_path, login=True, admin_password_file=tmp_path / "admin")
    assert login.first_password(filed, say=said.append) == "from-the-file-1"
    monkeypatch.setenv(login.PASSWORD_VARIABLE, "from-outside-1")
    assert login.first_password(filed, say=said.append) == "from-outside-1"
    monkeypatch.setenv(login.PASSWORD_VARIABLE, "short")
    with pytest.raises(StoreError, match="MLFLOW_AUTH_ADMIN_PASSWORD must have at least 12 char"):
        login.first_password(filed, say=said.append)
    assert said == []


def test_no_password_once_there_is_an_admin(settings, said, monkeypatch):
    with piped():
        made_ready(settings, say=said.append)
    assert os.environ.pop(login.PASSWORD_VARIABLE) in said[0]
    with sqlite3.connect(login.users_database(settings)) as connection:
        connection.execute("CREATE TABLE users (username TEXT)")
    connection.close()
    monkeypatch.setenv(login.PASSWORD_VARIABLE, "of-a-later-start")
    assert not login.embedded_admin_exists(settings)
    with sqlite3.connect(login.users_database(settings)) as connection:
        connection.execute("INSERT INTO users VALUES ('admin')")
    connection.close()
    made_ready(settings, say=said.append)
    assert login.PASSWORD_VARIABLE not in os.environ
    assert len(said) == 1


def test_a_users_database_that_is_none(settings):
    login.users_database(settings).write_text("a diary of more than sixteen characters")
    with pytest.raises(StoreError, match=r"mlflow_auth.db cannot be opened: file is not a dat"):
        login.embedded_admin_exists(settings)


@pytest.mark.parametrize("mode", [0o604, 0o660, 0o620, 0o606])
def test_a_secret_that_others_can_read_is_refused(mode, tmp_path):
    path = tmp_path / "secret"
    path.write_text("x")
    path.chmod(mode)
    with pytest.raises(
        StoreError, match=f"--some-file {path} can be read by others .mode {mode:o}"
    ):
        read_private(path, "--some-file")


def test_a_secret_that_is_not_there(tmp_path):
    with pytest.raises(StoreError, match=r"--some-file .*/no cannot be read: No such file or dir"):
        read_private(tmp_path / "no", "--some-file")
