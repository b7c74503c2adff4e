"""The sending loop: what it says of a store in trouble, and that nothing is lost by it."""

import json
import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from search.tracking import sync
from search.tracking.check import default_tracking_uri
from search.tracking.lock import SendingLock
from search.tracking.recording import Recording
from search.tracking.replay import Replay
from search.tracking.store import connect
from tests.search_folder import (
    FIRST_PART,
    START,
    TRIALS,
    append_events,
    events,
    test_report,
    write_search_folder,
)
from tests.tracked import (
    answers,
    content,
    finish,
    recorded,
    runs_of,
    same_as_fresh,
    sleeps,
    until,
)

NUM_RUNS = 1 + len(TRIALS)
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def client(runs_dir):
    return connect(default_tracking_uri(runs_dir))


def test_live_and_afterwards_give_the_same(runs_dir, client, tmp_path, fresh_database):
    """Event by event through the loop, with pauses, against one replay of the end."""
    folder = write_search_folder(runs_dir / "demo-db", whole=False)
    states = []
    with recorded(Recording(Replay(folder), states.append)) as sent:
        until(lambda: states)
        assert runs_of(client)["trial-001"].info.status == "RUNNING"
        for row in events()[FIRST_PART : FIRST_PART + 6]:
            append_events(folder, [row])
            time.sleep(0.1)
        append_events(folder, events()[FIRST_PART + 6 :])
        (folder / "test_report.json").write_text(json.dumps(test_report()))
    assert sent == [True]
    assert [state.problem for state in states] == [""]
    assert states[0].run_id == runs_of(client)["demo-db"].info.run_id
    uri = default_tracking_uri(runs_dir)
    same_as_fresh(folder, uri, "demo", tmp_path, fresh_database)


HTTP_500 = "it answers with HTTP 500 (its log has the reason; a full disk is one)"
DISK_FULL = json.dumps(
    {
        "error_code": "INTERNAL_ERROR",
        "message": "(sqlite3.OperationalError) database or disk is full [SQL: INSERT INTO metrics",
    }
).encode()
LOGIN = "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
DENIED = b'{"error_code": "PERMISSION_DENIED", "message": "Permission denied"}'


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (answers("503 Service Unavailable", **{"Retry-After": "30"}), "it answers with HTTP 503"),
        (answers("500 Internal Server Error"), HTTP_500),
        (answers("429 Too Many Requests"), "it answers with HTTP 429"),
        (answers("500 Internal Server Error", DISK_FULL, "application/json"), HTTP_500),
        (answers("401 Unauthorized"), f"it refuses us (HTTP 401){LOGIN}"),
        (answers("403 Forbidden"), f"it refuses us (HTTP 403){LOGIN}"),
        (answers("403 Forbidden", DENIED, "application/json"), f"it refuses us (HTTP 403){LOGIN}"),
        (answers("200 OK", b"<html>"), "something answers there that is not an MLflow server"),
    ],
    ids=["503", "500", "429", "full", "401", "403", "denied", "captive portal"],
)
def test_a_server_in_trouble_is_told_once_and_again_when_it_is_back(
    fault, problem, tmp_path, server, request
):
    experiment = f"fault {request.node.callspec.id}"
    folder = write_search_folder(tmp_path / "demo-db", dataset=experiment, whole=False)
    states = []
    with recorded(Recording(Replay(folder, server.uri), states.append)) as sent:
        until(lambda: states)
        server.fault = fault
        finish(folder)
        until(lambda: len(states) == 2)
        asked = len(server.requests)
        until(lambda: len(server.requests) > asked + 3)  # several attempts, and one word of them
        server.fault = None
        until(lambda: len(states) == 3)
    assert [state.problem for state in states] == ["", problem, ""]
    assert sent == [True]
    client = connect(server.uri)
    runs = runs_of(client, experiment)
    assert len(runs) == NUM_RUNS
    assert runs["demo-db"].info.status == "KILLED"
    assert runs["trial-002"].data.metrics["best/epoch"] == 4


def test_a_server_that_is_gone_for_a_while(tmp_path, server, fresh_database):
    folder = write_search_folder(tmp_path / "demo-db", dataset="gone", whole=False)
    states = []
    with recorded(Recording(Replay(folder, server.uri), states.append)) as sent:
        until(lambda: states)
        port = server.stop()
        finish(folder)
        until(lambda: len(states) == 2)
        server.start(port)
        until(lambda: len(states) == 3)
    assert sent == [True]
    assert [state.problem for state in states] == ["", "Connection refused", ""]
    same_as_fresh(folder, server.uri, "gone", tmp_path, fresh_database)


def test_a_slow_server_gets_more_time_and_is_told_once(tmp_path, server, monkeypatch):
    monkeypatch.setenv(TIMEOUT, "1")
    folder = write_search_folder(tmp_path / "demo-db", dataset="slow", whole=False)
    server.fault = sleeps(1.3, "runs/log-batch", times=2)
    states = []
    with recorded(Recording(Replay(folder, server.uri), states.append)):
        until(lambda: len(states) == 2)
    assert [state.problem for state in states] == ["no answer in time", ""]
    assert os.environ[TIMEOUT] == "2"
    assert len(runs_of(connect(server.uri), "slow")) == 3


def test_an_artifact_may_take_longer(tmp_path, server, monkeypatch):
    monkeypatch.setenv(TIMEOUT, "1")
    folder = write_search_folder(tmp_path / "demo-db", dataset="large", whole=False)
    (folder / "trials.csv").write_bytes(os.urandom(2**21))
    server.fault = sleeps(1.3, "trials.csv")
    synced = sync(folder, tracking_uri=server.uri)
    assert synced.runs == 3
    assert os.environ[TIMEOUT] == "1"
    server.fault = None
    found = content(connect(server.uri), "large", with_artifacts=True)
    assert "trials.csv" in found["demo-db"][-1]


def test_an_artifact_that_is_refused_holds_up_no_metric(tmp_path, server):
    folder = write_search_folder(tmp_path / "demo-db", dataset="no artifacts")
    refuse = answers("500 Internal Server Error")
    server.fault = lambda *call: refuse(*call) if "artifacts" in call[0]["PATH_INFO"] else None
    states = []
    with recorded(Recording(Replay(folder, server.uri), states.append)) as sent:
        until(lambda: states)
    assert states[0].problem == HTTP_500
    assert sent == [False]
    assert len(runs_of(connect(server.uri), "no artifacts")) == NUM_RUNS


def test_a_dead_server_gives_up_soon(tmp_path):
    folder = write_search_folder(tmp_path / "demo-db")
    states = []
    began = time.monotonic()
    with recorded(Recording(Replay(folder, "http://127.0.0.1:1"), states.append)) as sent:
        until(lambda: states)
    assert sent == [False]
    assert time.monotonic() - began < 15
    assert [state.problem for state in states] == ["Connection refused"]


def test_a_refusal_of_one_run_leaves_the_others(folder, client):
    sync(folder)
    broken = runs_of(client)["trial-001"].info.run_id
    more = {**events()[2], "epoch": 5, "time": START + 900}
    states = []
    with recorded(Recording(Replay(folder), states.append)) as sent:
        until(lambda: states)
        client.delete_run(broken)
        append_events(folder, [{**more, "trial": 1}, {**more, "trial": 2}])
        until(lambda: len(states) == 2)
    assert sent == [False]
    assert "must be in the 'active' state" in states[1].problem
    run = runs_of(client)["trial-002"].info.run_id
    assert client.get_metric_history(run, "val/micro_f1")[-1].step == 5


def test_an_empty_folder_is_no_failure(runs_dir):
    (runs_dir / "demo-db").mkdir()
    states = []
    with recorded(Recording(Replay(runs_dir / "demo-db"), states.append)) as sent:
        time.sleep(0.2)
    assert (states, sent) == ([], [True])


def test_two_senders_make_one_run_of_each_trial(folder, client):
    """A driver was killed and resumed: the first sender is still at work when the second begins."""
    first = SendingLock(folder)
    assert first.acquire()
    old, states = Replay(folder), []
    with recorded(Recording(Replay(folder), states.append)) as sent:
        time.sleep(0.3)
        assert states == []  # it waits, and has nothing to complain of
        old.advance()
        first.release()
        until(lambda: states)
    assert sent == [True]
    assert len(runs_of(client)) == NUM_RUNS  # which fails where two runs share a name


def test_a_sender_that_waits_in_vain_ends_in_time(folder):
    lock = SendingLock(folder)
    assert lock.acquire()
    recording = Recording(Replay(folder), lambda _: None)
    with recorded(recording) as sent:
        recording.close(0.3)
        until(lambda: sent, 5)
    assert sent == [False]
    lock.release()


def test_without_the_prepared_view_the_rest_is_recorded(folder, monkeypatch):
    def refuse(*_):
        raise MlflowException("experiment tags are not for you")

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    states = []
    with recorded(Recording(Replay(folder), states.append)) as sent:
        until(lambda: states)
    assert sent == [True]
    assert not states[0].has_view


CALLS = ("create_run", "log_batch", "update_run", "set_terminated", "log_inputs", "log_artifact")


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    fates=st.lists(st.sampled_from(["well", "before", "after", "killed"]), min_size=8, max_size=40)
)
def test_failures_anywhere_end_with_one_and_the_same_store(fates, tmp_path, fresh_database):
    """Calls fail before they had an effect or after it; the process is killed and begins anew."""
    home = tmp_path / f"{time.monotonic_ns()}"
    home.mkdir()
    database = home / "mlflow.db"
    database.write_bytes(fresh_database.read_bytes())
    uri = f"sqlite:///{database}"
    folder = write_search_folder(home / "demo-db", whole=False)
    left = iter(fates)
    fate_of_next = ["well"]

    def failing(method):
        def call(self, *arguments, **more):
            fate_of_next[0] = fate = next(left, "well")
            if fate == "before":
                raise MlflowException("lost on the way there")
            result = method(self, *arguments, **more)
            if fate in ("after", "killed"):
                raise MlflowException("lost on the way back")
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(MlflowClient, name, failing(getattr(MlflowClient, name)))
        advance_to_the_end(folder, uri, fate_of_next)
        finish(folder)
        advance_to_the_end(folder, uri, fate_of_next)
    assert len(same_as_fresh(folder, uri, "demo", home, fresh_database)) == NUM_RUNS


def advance_to_the_end(folder, uri, fate):
    """Replay until it succeeds; anew after a kill."""
    replay = Replay(folder, uri)
    while True:
        try:
            return replay.advance()
        except MlflowException:
            if fate[0] == "killed":
                replay = Replay(folder, uri)
