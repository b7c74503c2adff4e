"""What the thread beside Tune's loop does with what it sees. Its end of the process is tested with
a real dead head (test_supervisor.py)."""

import socket
import time

import pytest

pytest.importorskip("ray")

from search import overseer
from search.events import EventLog
from search.journal import Journal, read_journal
from search.lock import hold
from search.overseer import HeadProbe, Overseer
from search.stop_requests import ask_to_stop
from search.stopping import StopSwitch
from tests.small_search import small_spec
from trainable.errors import UserError


@pytest.fixture
def parts(tmp_path):
    spec = small_spec(tmp_path, hang_timeout_s=5.0)
    spec.folder.mkdir()
    events = EventLog(Journal(spec.folder / "journal.jsonl"))
    return spec, StopSwitch(), events


def start_trial(events, number=0, ray_trial_id="a"):
    events.emit("trial_started", trial=number, params={}, ray_trial_id=ray_trial_id)


def test_requests_reach_the_switch(parts):
    spec, switch, events = parts
    events.emit("search_started", attempt=1)
    watch = Overseer(spec, switch, events)
    with hold(spec.folder), watch:
        start_trial(events, 3, "c")
        start_trial(events, 4, "d")
        events.emit("trial_ended", trial=4, status="completed", reason="")
        for number in (3, 4, 5):
            ask_to_stop(spec.folder, number)
        deadline = time.monotonic() + 10
        while list(spec.folder.glob("stop-*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        result = {"epoch": 7}
        assert switch("c", result)
        assert result["stop_reason"] == "by `search stop` at epoch 7"
        assert not switch("d", {"epoch": 7})
        assert not switch.stop_all()

        ask_to_stop(spec.folder)
        watch.look(time.monotonic())
    assert (switch.status, switch.reason) == ("interrupted", "stopped by `search stop`")


@pytest.fixture
def exits(monkeypatch):
    """Instead of the end of the process: SystemExit."""
    codes = []

    def leave(code):
        codes.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(overseer.os, "_exit", leave)
    for name in ("_GRACE_S", "_GRACE_WITHOUT_HEAD_S"):
        monkeypatch.setattr(overseer, name, 0.2)
    return codes


@pytest.mark.usefixtures("exits")
def test_a_hung_search_is_ended_by_the_switch(parts):
    spec, switch, events = parts
    why = "nothing has moved for 6 s (--hang-timeout 5): trial 0 was running"
    watch = Overseer(spec, switch, events)
    watch._over.set()  # the main thread takes it
    watch._note({"event": "trial_started", "trial": 0, "ray_trial_id": "a"})
    watch.look(time.monotonic() + 4)
    assert switch.status == ""
    watch.look(time.monotonic() + 6)
    assert (switch.status, switch.reason) == ("failed", why)
    with pytest.raises(UserError) as told:
        watch.__exit__(None, None, None)
    assert str(told.value) == f"{why}; continue with `python -m search resume small`"


def test_a_main_thread_that_hangs_too_is_left_behind(parts, exits, capsys):
    spec, switch, events = parts
    watch = Overseer(spec, switch, events)
    watch._note({"event": "trial_started", "trial": 0, "ray_trial_id": "a"})
    with pytest.raises(SystemExit):
        watch.look(time.monotonic() + 6)
    assert exits == [1]
    [ended] = read_journal(spec.folder / "journal.jsonl")
    assert (ended["event"], ended["status"]) == ("search_ended", "failed")
    assert ended["reason"].startswith("nothing has moved for 6 s")
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: nothing has moved for 6 s")
    assert line.endswith("continue with `python -m search resume small`")


def test_one_that_the_user_ends_may_be_silent(parts, exits):
    spec, switch, events = parts
    watch = Overseer(spec, switch, events)
    watch._note({"event": "trial_started", "trial": 0, "ray_trial_id": "a"})
    switch.throw("interrupted", "Ctrl-C")
    watch.look(time.monotonic() + 100)
    assert (switch.reason, exits) == ("Ctrl-C", [])
    watch.__exit__(None, None, None)


def test_an_interruption_is_not_covered_up(parts):
    watch = Overseer(*parts)
    watch._found = "gone"
    watch.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    with pytest.raises(UserError, match=r"gone; continue with"):
        watch.__exit__(RuntimeError, RuntimeError("of Ray"), None)


def test_a_head_that_closed_its_port_is_gone_after_a_while():
    server = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{server.getsockname()[1]}"
    private = HeadProbe(private=True, address=lambda: address)
    given = HeadProbe(private=False, address=lambda: address)
    assert private.gone(100.0) == given.gone(100.0) == ""
    server.close()
    assert private.gone(101.0) == ""  # not looked at yet
    assert private.gone(104.0) == given.gone(104.0) == ""
    assert private.gone(107.5) == ""
    assert private.gone(111.0) == (
        "Ray's head process (gcs_server) is gone: killed, or out of memory"
    )
    assert given.gone(111.0) == ""
    assert (
        given.gone(130.0) == f"the head of the Ray cluster at {address} has not answered for 25 s"
    )


def test_a_head_that_comes_back_was_never_gone():
    server = socket.create_server(("127.0.0.1", 0))
    live = f"127.0.0.1:{server.getsockname()[1]}"
    addresses = iter([None, "127.0.0.1:1", live, "127.0.0.1:1", None])
    probe = HeadProbe(private=True, address=lambda: next(addresses))
    with server:
        assert [probe.gone(now) for now in (10.0, 20.0, 30.0, 40.0, 50.0)] == [""] * 5
