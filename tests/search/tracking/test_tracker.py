"""The driver's side of tracking: what it says, what it never does, and the process that sends."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from search.tracking import Tracker, sync
from search.tracking.check import default_tracking_uri
from search.tracking.store import connect
from tests.search_folder import (
    FIRST_PART,
    START,
    append_events,
    events,
    test_report,
    write_search_folder,
)
from tests.tracked import content, runs_of, until

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 45.0


@pytest.fixture
def acting(monkeypatch):
    """What stands in for the sending process: a script that has `tell` and `orders`."""

    def act(*scripts):
        left = iter(scripts)
        head = (
            "import json, os, sys, time\n"
            "orders = sys.stdin\n"
            "def tell(**message): print(json.dumps(message), flush=True)\n"
        )
        command = lambda _: [sys.executable, "-S", "-E", "-c", head + next(left)]  # noqa: E731
        monkeypatch.setattr("search.tracking.tracker._command", command)
        monkeypatch.setattr("search.tracking.tracker._RESTART_S", 0.1)
        monkeypatch.setattr("search.tracking.tracker._GRACE_S", 0.5)

    return act


WORKS = """
orders.readline()
tell(experiment_id="7", search_id="demo-1", run_id="abc", has_view=True)
orders.readline()
tell(sent=True)
"""


def test_links(folder, acting):
    acting(WORKS)
    tracker = Tracker(folder)
    assert tracker.links == (
        f"python -m mlflow_server --runs-dir {folder.parent}",
        "http://127.0.0.1:5000",
    )
    tracker.start()
    assert tracker.close(TIMEOUT_S)
    _, trials, search = tracker.links
    base = "http://127.0.0.1:5000/#/experiments/7/runs"
    assert search == f"{base}/abc?workflowType=machine_learning"
    assert trials == f"{base}?workflowType=machine_learning&viewStateShareKey=demo-1"


def test_without_the_prepared_view_the_plain_link_will_do(folder, acting):
    acting(WORKS.replace("has_view=True", "has_view=False"))
    tracker = Tracker(folder)
    tracker.start()
    assert tracker.close(TIMEOUT_S)
    assert re.fullmatch(
        r"http://127\.0\.0\.1:5000/#/experiments/7/runs\?workflowType=machine_learning"
        r"&searchFilter=\S+&orderByKey=metrics\.%60best%2Fobjective%60&orderByAsc=false\S+",
        tracker.links[1],
    )


def test_a_database_elsewhere_is_served_by_mlflow_itself(folder, tmp_path):
    uri = f"sqlite:///{tmp_path}/other place/mine.db"
    assert Tracker(folder, tracking_uri=uri).links == (
        f"mlflow server --backend-store-uri 'sqlite:///{tmp_path}/other place/mine.db'",
        "http://127.0.0.1:5000",
    )
    same = f"sqlite:///{folder.parent}/mlflow.db"
    assert Tracker(folder, tracking_uri=same).links[0] == (
        f"python -m mlflow_server --runs-dir {folder.parent}"
    )


def test_links_of_a_server_have_no_password(folder):
    tracker = Tracker(folder, tracking_uri="http://ann:pw@host:8080/mlflow/")
    assert tracker.links == ("http://host:8080/mlflow",)


def test_trouble_is_told_once_and_its_end_too(folder, acting):
    acting(
        """
orders.readline()
tell(problem="Connection refused")
tell(problem="Connection refused")
tell(run_id="abc")
tell(problem="no answer in time")
orders.readline()
tell(sent=False)
"""
    )
    report = []
    tracker = Tracker(folder, tracking_uri="http://ann:s3cret@host/x", report=report.append)
    tracker.start()
    assert tracker.wait_until_ready(10)
    assert not tracker.close(TIMEOUT_S)
    later = "; the search goes on, what is missing is sent later"
    assert report == [
        f"MLflow: http://host/x does not record: Connection refused{later}",
        "MLflow: http://host/x records again; everything was sent",
        f"MLflow: http://host/x does not record: no answer in time{later}",
        "MLflow: http://host/x has not recorded everything; send the rest with "
        "`python -m search sync demo-db`",
    ]


def test_a_process_that_dies_is_told_and_replaced(folder, acting):
    acting("os.kill(os.getpid(), 9)", WORKS)
    report = []
    tracker = Tracker(folder, report=report.append)
    tracker.start()
    assert tracker.wait_until_ready(10)
    assert tracker.close(TIMEOUT_S)
    assert [line.partition(";")[0].rpartition(": ")[2] for line in report] == [
        "its process ended with code -9",
        f"{default_tracking_uri(folder.parent)} records again".removeprefix("MLflow: "),
    ]


def test_a_process_that_hangs_is_killed_in_the_end(folder, acting):
    acting("tell(run_id=str(os.getpid())); time.sleep(60)")
    report = []
    tracker = Tracker(folder, report=report.append)
    tracker.start()
    assert tracker.wait_until_ready(10)
    began = time.monotonic()
    assert not tracker.close(0.2)
    assert time.monotonic() - began < 5
    assert not psutil.pid_exists(int(tracker._state.run_id))
    assert "has not recorded everything" in report[0]


def test_no_process_can_be_started(folder, monkeypatch):
    monkeypatch.setattr("search.tracking.tracker._command", lambda _: ["/no/such/python"])
    report = []
    tracker = Tracker(folder, report=report.append)
    tracker.start()
    until(lambda: report)
    assert not tracker.close(1)
    assert "does not record: no process for it: No such file or directory" in report[0]


def test_a_report_that_raises_does_not_reach_the_search(folder, acting, caplog):
    def broken(line):
        raise RuntimeError(line)

    acting("orders.readline()\ntell(problem='x')\norders.readline()\ntell(sent=False)")
    tracker = Tracker(folder, report=broken)
    tracker.start()
    assert not tracker.close(TIMEOUT_S)
    assert "the report of a tracking problem failed" in caplog.text


def test_one_that_was_not_started_has_nothing_to_close(folder):
    assert Tracker(folder).close(1)


@pytest.mark.timeout(120)
def test_the_real_process(runs_dir):
    """Recorded while it is written; deaf to Ctrl-C; no password to be seen; gone in the end."""
    folder = write_search_folder(runs_dir / "demo-db", whole=False)
    report = []
    before = set(psutil.Process().children())
    tracker = Tracker(folder, report=report.append)
    began = time.monotonic()
    tracker.start()
    assert time.monotonic() - began < 0.1
    assert tracker.wait_until_ready(TIMEOUT_S)
    [process] = set(psutil.Process().children()) - before
    assert process.cmdline()[1:] == ["-m", "search.tracking", str(folder)]
    assert os.getpgid(process.pid) != os.getpgid(0)
    assert process.nice() > psutil.Process().nice()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
    client = connect(default_tracking_uri(runs_dir))
    assert runs_of(client)["trial-001"].info.status == "RUNNING"
    append_events(folder, events()[FIRST_PART:])
    (folder / "test_report.json").write_text(json.dumps(test_report()))
    assert tracker.close(TIMEOUT_S)
    assert report == []
    assert not process.is_running()
    live = content(client)
    assert runs_of(client)["demo-db"].info.run_id in tracker.links[2]
    sync(folder)
    assert content(client) == live


DRIVER = """
import sys, time
from pathlib import Path
from search.tracking import Tracker
tracker = Tracker(Path(sys.argv[1]))
tracker.start()
print(tracker.wait_until_ready(45), tracker._process.pid, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def driver_of(folder):
    """A process that tracks the folder; yields it and the one that sends. Killed with -9."""
    child = subprocess.Popen(
        [sys.executable, "-c", DRIVER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        ready, pid = child.stdout.readline().split()
        assert ready == "True"
        yield psutil.Process(int(pid))
    finally:
        child.kill()
        child.communicate()


@pytest.mark.timeout(120)
def test_a_driver_that_is_killed_and_resumed(runs_dir, tmp_path, fresh_database):
    """The journal is sent, nothing is called ended; resumed, the store is as if undisturbed."""
    folder = write_search_folder(runs_dir / "demo-db", whole=False)
    client = connect(default_tracking_uri(runs_dir))
    with driver_of(folder) as sender:
        last = {**events()[FIRST_PART - 1], "epoch": 2, "time": START + 95}
        append_events(folder, [last])
    psutil.wait_procs([sender], 15)
    assert not sender.is_running()
    left = runs_of(client)
    assert [left[name].info.status for name in ("demo-db", "trial-001")] == ["RUNNING"] * 2
    history = client.get_metric_history(left["trial-001"].info.run_id, "val/micro_f1")
    assert [point.step for point in history] == [1, 2]
    append_events(folder, [{"event": "search_started", "attempt": 2, "time": START + 99}])
    append_events(folder, events()[FIRST_PART + 1 :])
    tracker = Tracker(folder)
    tracker.start()
    assert tracker.close(TIMEOUT_S)
    assert {run.info.run_id for run in left.values()} <= {
        run.info.run_id for run in runs_of(client).values()
    }
    fresh = tmp_path / "fresh.db"
    fresh.write_bytes(fresh_database.read_bytes())
    sync(folder, tracking_uri=f"sqlite:///{fresh}")
    undisturbed = content(connect(f"sqlite:///{fresh}"), with_artifacts=True)
    assert content(client, with_artifacts=True) == undisturbed
