"""start, stop and status with a fake MLflow: real processes and signals, no imports of seconds."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from mlflow_server import bare, lifecycle, migrating, processes, state
from mlflow_server import server as server_module
from mlflow_server.__main__ import main
from mlflow_server.errors import ServerError
from mlflow_server.schema import installed
from mlflow_server.settings import ServerSettings
from mlflow_server.state import State
from mlflow_server.status import find_status
from tests.mlflow_server.small_store import OLDER, make_store

FAKE = Path(__file__).with_name("fake_mlflow.py")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A runs folder whose server is the fake; whatever it leaves is ended."""
    runs = tmp_path / "my runs"
    make_store(runs)
    fake(monkeypatch)
    yield runs
    about = State.read(runs)
    if about is not None:
        for pid in [about.pid] * about.supervisor_lives + about.leftovers():
            os.kill(pid, signal.SIGKILL)


def fake(monkeypatch, how=""):
    monkeypatch.setattr(bare, "is_possible", lambda *_: False)

    def command(settings):
        return [sys.executable, str(FAKE), str(settings.port), how]

    monkeypatch.setattr(server_module, "command", command)


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def reaped(pid):
    """Our forked child has ended; in real life its parent is gone and init reaps it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def wait_for(condition, timeout_s=15.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_start_status_stop(runs, port, capsys):
    place = ("--runs-dir", runs)
    url = f"http://127.0.0.1:{port}"
    command = f"`python -m mlflow_server stop --runs-dir '{runs}'`"
    said = run(capsys, "start", "--port", port, *place)
    assert said == (0, f"MLflow serves {runs} at {url}; {command}\n", "")
    about = State.read(runs)
    supervisor = psutil.Process(about.pid)
    assert os.getsid(about.pid) == about.pid != os.getsid(0)
    assert supervisor.cwd() == "/"
    assert (
        about.mlflow_version == json.loads((runs / state.STATE_NAME).read_text())["mlflow_version"]
    )

    code, out, _ = run(capsys, "status", "--json", *place)
    found = json.loads(out)
    assert code == 0
    assert (found["running"], found["healthy"], found["pid"]) == (True, True, about.pid)
    assert found["url"] == url
    assert found["store"]["experiments"] == found["store"]["runs"] == 2
    assert found["store"]["schema_fit"] == "current"
    assert found["store"]["database_bytes"] >= (runs / "mlflow.db").stat().st_size

    # the same is there already; another is refused, in the foreground too
    again = run(capsys, "start", "--port", port, *place)
    assert again == (0, f"MLflow serves {runs} already at {url}\n", "")
    code, _, err = run(capsys, "start", "--port", port + 1, *place)
    assert (code, err) == (
        1,
        f"error: process {about.pid} serves {runs} with other settings at {url}: stop it first "
        f"with {command}\n",
    )
    code, _, err = run(capsys, "--port", port, *place)
    assert code == 1
    assert f"process {about.pid} serves {runs} at {url}: stop it first with {command}" in err

    members = [supervisor, *supervisor.children(recursive=True)]
    code, out, _ = run(capsys, "stop", *place)
    assert (code, out) == (0, f"stopped the server of {runs} ({url})\n")
    assert not any(processes.started(member.pid) for member in members)
    reaped(about.pid)
    assert run(capsys, "stop", *place) == (0, f"no server runs for {runs}\n", "")
    assert run(capsys, "status", *place)[0] == 3


def test_what_a_killed_one_leaves_is_seen_and_ended(runs, port, capsys, monkeypatch):
    fake(monkeypatch, "stubborn")  # the kernel's SIGTERM at its parent's death does not end it
    monkeypatch.setattr(lifecycle, "STOP_TIMEOUT_S", 0.3)
    place = ("--runs-dir", runs)
    assert run(capsys, "start", "--port", port, *place)[0] == 0
    about = State.read(runs)
    (orphan,) = about.leftovers()
    os.kill(about.pid, signal.SIGKILL)
    reaped(about.pid)
    code, out, _ = run(capsys, "status", *place)
    assert code == 1
    assert f"no server runs for {runs}, but process {orphan} of a killed one is left" in out
    code, _, err = run(capsys, "start", "--port", port, *place)
    assert code == 1
    assert f"a server of {runs} was killed and left process {orphan}: end that with" in err
    assert run(capsys, "stop", *place)[0] == 0
    assert processes.started(orphan) is None
    with socket.create_server(("127.0.0.1", port), reuse_port=False):
        pass  # the port is free


def test_a_pid_that_was_used_again_is_left_alone(runs, port, capsys):
    assert run(capsys, "start", "--port", port, "--runs-dir", runs)[0] == 0
    about = State.read(runs)
    told = json.loads((runs / state.STATE_NAME).read_text())
    assert run(capsys, "stop", "--runs-dir", runs)[0] == 0
    reaped(about.pid)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        (runs / state.STATE_NAME).write_text(json.dumps({**told, "pid": bystander.pid}))
        assert run(capsys, "status", "--runs-dir", runs)[0] == 3
        assert run(capsys, "stop", "--runs-dir", runs) == (0, f"no server runs for {runs}\n", "")
        assert bystander.poll() is None
        bystander.communicate(b"\n")


def test_a_server_that_cannot_start_says_so_in_front(runs, port, capsys, monkeypatch):
    fake(monkeypatch, "broken")
    code, out, err = run(capsys, "start", "--port", port, "--runs-dir", runs)
    log = runs / "mlflow_server.log"
    assert (code, out) == (1, "")
    assert err == (
        f"error: the MLflow server ended at once; {log} ends with: no such table: runs\n"
    )
    assert State.read(runs) is None
    assert not state.is_held(runs)


def test_what_a_migration_says_is_said_in_front(runs, port, capsys, monkeypatch):
    (runs / "mlflow.db").unlink()
    database = make_store(runs, version=OLDER, artifacts=False)

    def migrate(_settings, uri):
        with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", [installed().head])
            connection.commit()

    monkeypatch.setattr(migrating, "migrate", migrate)
    code, out, err = run(capsys, "start", "--port", port, "--runs-dir", runs)
    assert (code, out) == (2, "")
    assert "was made by an older MLflow" in err
    code, out, err = run(capsys, "start", "--upgrade", "--port", port, "--runs-dir", runs)
    assert (code, err) == (0, "")
    first, second, third = out.splitlines()
    assert first.startswith(f"backup of the database as it was: {runs / 'mlbackups'}/mlflow-")
    assert second == f"{database} is now of schema {installed().head}"
    assert third.startswith(f"MLflow serves {runs} at ")
    pid = State.read(runs).pid
    assert run(capsys, "stop", "--runs-dir", runs)[0] == 0
    reaped(pid)


def test_a_start_that_is_interrupted_leaves_nothing(runs, port, capsys, monkeypatch):
    fake(monkeypatch, "slow")
    found, seen = [], []

    def interrupt():
        wait_for(lambda: State.read(runs) and State.read(runs).leftovers())
        seen.append(find_status(ServerSettings(runs_dir=runs)))
        found.extend(State.read(runs).leftovers())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code, out, _ = run(capsys, "start", "--port", port, "--runs-dir", runs)
    thread.join()
    assert (code, out) == (130, "")
    assert [processes.started(pid) for pid in found] == [None]
    assert [(status.running, status.starting, status.exit_code) for status in seen] == [
        (True, True, 1)
    ]
    assert State.read(runs) is None
    assert not state.is_held(runs)


def test_a_server_that_dies_later_says_so_in_its_log(runs, port, capsys):
    assert run(capsys, "start", "--port", port, "--runs-dir", runs)[0] == 0
    about = State.read(runs)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError):
        opener.open(f"http://127.0.0.1:{port}/crash", timeout=5).read()
    reaped(about.pid)
    assert "error: the MLflow server ended by itself" in (runs / "mlflow_server.log").read_text()
    assert run(capsys, "status", "--runs-dir", runs)[0] == 3


WARM = """
import sys
print("warm", flush=True)
line = sys.stdin.readline()
if line == "serve\\n":
    sys.path.insert(0, sys.argv[1])
    import fake_mlflow
    fake_mlflow.main(sys.argv[2])
"""


def warm(monkeypatch, code):
    """MLflow that is imported while its database is made, and then told to serve."""
    monkeypatch.setattr(bare, "is_possible", lambda *_: True)

    def command(settings, *, held=False):
        assert held
        return [sys.executable, "-c", code, str(FAKE.parent), str(settings.port)]

    monkeypatch.setattr(bare, "command", command)


@pytest.fixture
def fresh(runs, monkeypatch):
    """The same folder without a database; the one that is made in its place waits for MLflow."""
    (runs / "mlflow.db").rename(runs / "made")
    log = runs / "mlflow_server.log"

    def migrate(_settings, uri):
        wait_for(lambda: "warm" in log.read_text())
        (runs / "made").rename(uri.removeprefix("sqlite:///"))

    monkeypatch.setattr(migrating, "migrate", migrate)
    return runs


def test_mlflow_is_imported_while_its_database_is_made(fresh, port, capsys, monkeypatch):
    warm(monkeypatch, WARM)
    assert run(capsys, "start", "--port", port, "--runs-dir", fresh)[0] == 0
    about = State.read(fresh)
    assert run(capsys, "stop", "--runs-dir", fresh)[0] == 0
    reaped(about.pid)
    assert about.leftovers() == []


def test_mlflow_that_cannot_be_imported(fresh, port, capsys, monkeypatch):
    warm(monkeypatch, "print('warm', flush=True); import no_such_mlflow")
    code, _, err = run(capsys, "start", "--port", port, "--runs-dir", fresh)
    assert code == 1
    assert "the MLflow server ended at once; " in err
    assert "No module named 'no_such_mlflow'" in err


def test_a_database_that_cannot_be_made_ends_what_was_warm(fresh, port, monkeypatch):
    warm(monkeypatch, WARM)
    tokens = []

    def fail(*_):
        about = State.read(fresh)
        wait_for(about.leftovers)
        tokens.append(about.token)
        raise ServerError("MLflow could not make it")

    monkeypatch.setattr(migrating, "migrate", fail)
    # in this process: what it appends shall be seen
    with pytest.raises(ServerError, match="could not make it"):
        lifecycle.run(ServerSettings(runs_dir=fresh, port=port), upgrade=False, say=print)
    assert processes.with_token(tokens[0]) == []
    assert State.read(fresh) is None


def test_a_store_that_cannot_be_used_is_wrong_input_also_when_detached(runs, port, capsys):
    (runs / "mlflow.db").write_bytes(b"a diary of more than sixteen characters")
    code, out, err = run(capsys, "start", "--port", port, "--runs-dir", runs)
    assert (code, out) == (2, "")
    assert f"the database {runs / 'mlflow.db'} is damaged (file is not a database)" in err
    assert err.count("\n") == 1


def test_one_on_another_machine_is_stopped_there(runs, port, capsys):
    assert run(capsys, "start", "--port", port, "--runs-dir", runs)[0] == 0
    about = State.read(runs)
    told = json.loads((runs / state.STATE_NAME).read_text())
    (runs / state.STATE_NAME).write_text(json.dumps({**told, "machine": "node7"}))
    code, _, err = run(capsys, "stop", "--runs-dir", runs)
    assert (code, err) == (1, f"error: the server of {runs} runs on node7: stop it there\n")
    assert processes.started(about.pid) == about.started
    (runs / state.STATE_NAME).write_text(json.dumps(told))
    assert run(capsys, "stop", "--runs-dir", runs)[0] == 0
    reaped(about.pid)


def test_a_log_that_has_grown_is_put_aside(runs, port, capsys):
    log = runs / "mlflow_server.log"
    log.write_bytes(b"x" * (8 * 2**20 + 1))
    assert run(capsys, "start", "--port", port, "--runs-dir", runs)[0] == 0
    about = State.read(runs)
    assert run(capsys, "stop", "--runs-dir", runs)[0] == 0
    reaped(about.pid)
    assert log.stat().st_size < 2**16
    assert log.with_name("mlflow_server.log.1").stat().st_size == 8 * 2**20 + 1


def test_options_before_a_verb_are_refused(runs, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--runs-dir", str(runs), "stop"])
    assert ended.value.code == 2
    assert "unrecognized arguments: stop" in capsys.readouterr().err
