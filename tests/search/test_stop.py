"""`search stop`: what it says, to whom, and when it is done. A thread stands in for the driver."""

import contextlib
import threading
import time

import pytest

from search import stop
from search.cli import main
from search.lock import hold
from search.stop_requests import take_requests
from tests.search_folder import append_events, write_search_folder

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(stop, "_POLL_S", 0.02)


@pytest.fixture
def folder(tmp_path):
    """Trial 0 is over, trial 1 has had an epoch."""
    return write_search_folder(tmp_path / "runs/mine", whole=False)


@contextlib.contextmanager
def driver(folder, obey=lambda requests: bool(requests)):
    """Owns the folder until `obey` says that it ends; then it says so in the journal."""
    over, owned = threading.Event(), threading.Event()

    def drive():
        with hold(folder):
            owned.set()
            while not over.is_set() and not obey(take_requests(folder)):
                time.sleep(0.02)
            row = {"event": "search_ended", "status": "interrupted", "reason": "as asked"}
            append_events(folder, [{**row, "time": 0.0}])

    thread = threading.Thread(target=drive)
    thread.start()
    assert owned.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join()


def run(folder, *options):
    return main(["stop", folder.name, *options, "--runs-dir", str(folder.parent)])


def test_a_search_is_stopped_and_its_end_awaited(folder, capsys):
    with driver(folder):
        assert run(folder) == 0
        out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("asked search 'mine' (process ")
    assert out[1:] == [
        "search 'mine' interrupted: as asked",
        "continue with: python -m search resume mine",
    ]


def test_a_trial_is_stopped(folder, capsys):
    heard = []

    def obey(requests):
        heard.extend(request.trial for request in requests)
        return False

    with driver(folder, obey):
        assert run(folder, "--trial", "1") == 0
    assert heard == [1]
    assert capsys.readouterr().out == "trial 1 of search 'mine' stops at the end of its epoch\n"


def error_of(capsys):
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("options", [(), ("--trial", "1")])
def test_only_what_runs_can_be_stopped(folder, options, capsys):
    assert run(folder, *options) == 2
    assert error_of(capsys) == "error: search 'mine' does not run: it is interrupted"
    assert list(folder.glob("stop-*")) == []


def test_no_such_search(folder, capsys):
    assert main(["stop", "mien", "--runs-dir", str(folder.parent)]) == 2
    assert error_of(capsys).startswith("error: unknown search 'mien': did you mean 'mine'?")


@pytest.mark.parametrize(("trial", "why"), [("0", "is completed"), ("7", "has not begun")])
def test_no_such_trial_runs(folder, trial, why, capsys):
    with driver(folder, lambda _: False):
        assert run(folder, "--trial", trial) == 2
        assert error_of(capsys) == (
            f"error: trial {trial} of search 'mine' {why}: --trial takes one that runs (1)"
        )


def test_a_driver_that_does_not_end_is_told_with_advice(folder, capsys, monkeypatch):
    monkeypatch.setattr(stop.stop_search, "__kwdefaults__", {"patience_s": 0.2})
    with driver(folder, lambda _: False):
        assert run(folder) == 1
        error = error_of(capsys)
    assert error.startswith("error: search 'mine' has not ended after 0.2 s (process ")
    assert "to end it at once, `kill " in error


def test_a_driver_that_does_not_answer_is_told(folder, capsys, monkeypatch):
    monkeypatch.setattr(stop.stop_trial, "__kwdefaults__", {"patience_s": 0.2})
    with hold(folder):
        assert run(folder, "--trial", "1") == 1
        assert "has not answered within 0.2 s: look at it with" in error_of(capsys)
    assert list(folder.glob("stop-*")) == []


def test_a_folder_that_is_full_is_one_line(folder, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("search.stop.ask_to_stop", full)
    with hold(folder):
        assert run(folder) == 1
        assert "the request cannot be written (No space left on device)" in error_of(capsys)
