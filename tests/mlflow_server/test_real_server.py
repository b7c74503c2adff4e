"""The real MLflow: used by clients, killed, backed up and restored. Three starts in all."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from mlflow_server import migrating, processes, schema
from mlflow_server.settings import ServerSettings
from mlflow_server.sqlite_file import row_counts
from mlflow_server.state import State
from tests.ports import free_port
from tests.search_folder import FIRST_PART, append_events, events, write_search_folder
from tests.tracked import quickly, same_as_fresh, until
from tests.tracked import recorded as recorded_live

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "of-an-admin-here"
EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=9"

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]


def command(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "mlflow_server", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def get(port, path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def opened(runs):
    """As a search opens the store."""
    from search.tracking.store import connect

    return len(connect(f"sqlite:///{runs}/mlflow.db").search_experiments())


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A detached server on a folder that a search opened at the same time; its port."""
    runs = tmp_path_factory.mktemp("served") / "not yet" / "runs"
    port = free_port()
    with ThreadPoolExecutor(1) as beside:
        # MLflow alone crashes one that opens a fresh database as well
        client = beside.submit(opened, runs)
        code, out, err = command("start", "--port", port, "--runs-dir", runs)
    assert (code, err) == (0, "")
    assert out.startswith(f"MLflow serves {runs} at http://127.0.0.1:{port}; `python -m")
    assert client.result() == 1
    yield runs, port
    command("stop", "--runs-dir", runs)


@pytest.fixture(scope="module")
def recorded(served):
    """Two runs with an artifact each: past the server, as a search does, and through it."""
    from mlflow import MlflowClient

    from search.tracking.store import connect, experiment_id

    runs, port = served
    direct = connect(f"sqlite:///{runs}/mlflow.db")
    through = MlflowClient(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
    place = runs.parent / "plot größe.txt"
    identities = []
    for client, experiment in (
        (direct, experiment_id(direct, f"sqlite:///{runs}/mlflow.db", "db-demo")),
        (through, through.create_experiment("served")),
    ):
        run = client.create_run(experiment)
        client.log_metric(run.info.run_id, "best/val/micro_f1", 0.75)
        place.write_text(f"of {experiment}")
        client.log_artifact(run.info.run_id, str(place), "plots")
        identities.append((run.info.run_id, f"of {experiment}"))
    return identities


def test_it_answers_on_this_machine_and_to_its_own_names_alone(served):
    runs, port = served
    assert get(port, "/health") == (200, "OK")
    assert get(port, "/")[0] == 200
    assert "Default" in get(port, EXPERIMENTS)[1]
    for host in ("evil.example", "10.evil.example", f"evil.example:{port}"):
        assert get(port, EXPERIMENTS, Host=host)[0] == 403
    assert get(port, EXPERIMENTS, Host=f"localhost:{port}")[0] == 200
    telemetry = json.loads(get(port, "/ajax-api/3.0/mlflow/ui-telemetry")[1])
    assert telemetry["disable_ui_telemetry"] is True
    about = State.read(runs)
    members = [psutil.Process(pid) for pid in (about.pid, *about.leftovers())]
    assert len(members) == 2
    listening = [c.laddr.ip for p in members for c in p.net_connections() if c.status == "LISTEN"]
    assert listening == ["127.0.0.1"]


def test_the_schema_is_the_one_that_we_expect(served):
    """MLflow made the database: an independent witness of its last migration."""
    code, out, _ = command("status", "--json", "--runs-dir", served[0])
    found = json.loads(out)
    assert code == 0
    assert found["healthy"] is True
    assert found["store"]["schema_version"] == schema.installed().head
    assert found["store"]["schema_fit"] == "current"


def test_a_backup_of_it_serves_elsewhere(served, recorded, tmp_path, monkeypatch):
    """Made while it runs, restored to another folder, and read through a server with a login."""
    from mlflow import MlflowClient

    file = tmp_path / "b.tar.gz"
    assert command("backup", "--runs-dir", served[0], "--to", file)[0] == 0
    new = tmp_path / "new runs"
    code, out, _ = command("restore", file, "--runs-dir", new)
    assert code == 0
    assert "counted as in the backup, and 2 artifacts, checksums verified" in out
    with (
        closing(sqlite3.connect(served[0] / "mlflow.db")) as old,
        closing(sqlite3.connect(new / "mlflow.db")) as restored,
    ):
        assert row_counts(restored) == row_counts(old)

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = ("--login", "--port", str(port), "--runs-dir", str(new))
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow_server", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD},
    )
    try:
        assert process.stdout.readline() == f"MLflow serves {new} at {address} (Ctrl-C stops it)\n"
        assert command("status", "--runs-dir", new)[0] == 0
        assert get(port, EXPERIMENTS)[0] == 401
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        client = MlflowClient(address, address)
        for run_id, text in recorded:
            assert client.get_run(run_id).data.metrics == {"best/val/micro_f1": 0.75}
            # through the file's address: the client and the server are on one machine
            path = client.download_artifacts(run_id, "plots/plot größe.txt", str(tmp_path))
            assert Path(path).read_text() == text
            uri = client.get_run(run_id).info.artifact_uri
            assert uri.startswith(((new / "mlartifacts").as_uri(), "mlflow-artifacts:/"))
        members = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not any(processes.started(member.pid) for member in members)
        assert command("status", "--runs-dir", new)[0] == 3
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_an_older_database_is_migrated_by_mlflow(tmp_path):
    """One as an MLflow of some years ago left it: its first 20 migrations."""
    database = tmp_path / "mlflow.db"
    first = re.search(r'revision = "(\w+)"', migration_file(20).read_text())[1]
    migrate_until(first, database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO experiments (name, artifact_location, lifecycle_stage) "
            "VALUES ('old', '/old', 'active')"
        )
        connection.execute(
            "INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage) VALUES ('r', 1, 'active')"
        )
    lines = []
    migrating.make_ready(ServerSettings(runs_dir=tmp_path), upgrade=True, say=lines.append)
    assert lines[1] == f"{database} is now of schema {schema.installed().head}"
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT name FROM experiments").fetchall() == [("old",)]
        assert connection.execute("SELECT run_uuid FROM runs").fetchall() == [("r",)]
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]


def migrate_until(revision, database):
    """What MLflow does with an empty file, up to that migration."""
    import sqlalchemy
    from alembic import command
    from mlflow.store.db import utils

    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    utils.InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config(str(engine.url))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def migration_file(number):
    """The file of MLflow's migration of that number, counted from the first."""
    import importlib.util

    package = Path(importlib.util.find_spec("mlflow").origin).parent
    files = {}
    for path in (package / "store" / "db_migrations" / "versions").glob("*.py"):
        before = re.search(r'^down_revision = "?(\w+)"?', path.read_text(), re.MULTILINE)
        name = re.search(r'^revision = "(\w+)"', path.read_text(), re.MULTILINE)
        if name:
            files[before[1]] = (name[1], path)
    name = "None"
    for _ in range(number):
        name, path = files[name]
    return path


def test_a_search_whose_server_is_killed_and_started_again(served, tmp_path):
    """MLflow's process ends with -9 in mid-search: the store is that of an undisturbed one."""
    from search.tracking.recording import Recording
    from search.tracking.replay import Replay
    from search.tracking.store import connect

    runs, port = served
    uri = f"http://127.0.0.1:{port}"
    fresh = tmp_path / "empty.db"
    connect(f"sqlite:///{fresh}")._tracking_client.store.engine.dispose()
    folder = write_search_folder(tmp_path / "demo-db", whole=False)
    rows = events()[FIRST_PART:]
    states = []
    with quickly(), recorded_live(Recording(Replay(folder, uri), states.append)) as sent:
        until(lambda: states)
        for number, row in enumerate(rows):
            append_events(folder, [row])
            time.sleep(0.08)
            if number == len(rows) // 2:
                for pid in State.read(runs).leftovers():
                    os.kill(pid, signal.SIGKILL)
        until(lambda: len(states) == 2)
        until(lambda: State.read(runs) is None)  # what supervised it has ended
        assert command("start", "--port", port, "--runs-dir", runs)[0] == 0
        until(lambda: len(states) == 3)
    assert sent == [True]
    assert [bool(state.problem) for state in states] == [False, True, False]
    same_as_fresh(folder, uri, "demo", tmp_path, fresh)
    assert "error: the MLflow server ended by itself" in (runs / "mlflow_server.log").read_text()


def test_killed_it_leaves_nothing(served):
    """Last: the server of the other tests ends here."""
    runs, port = served
    about = State.read(runs)
    members = about.leftovers()
    assert members != []
    os.kill(about.pid, signal.SIGKILL)
    until(lambda: not any(processes.started(pid) for pid in (about.pid, *members)))
    with socket.create_server(("127.0.0.1", port)):
        pass
    assert command("status", "--runs-dir", runs)[0] == 3
