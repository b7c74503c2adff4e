"""`--restart N`: children that die, fail, hang, or are told to end."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from search import supervisor
from search.cli import main
from search.console import Terminal
from search.lock import is_live
from search.supervisor import supervise
from tests.search_folder import write_search_folder
from tests.small_search import ROOT

# a child: an attempt that finishes some epochs, says how it ended, if it does, and ends
CHILD = """
import json, os, sys
path, calls, word, epochs, end, code = sys.argv[1:]
with open(calls, "a") as file:
    file.write(word + "\\n")
rows = [{"event": "search_started", "attempt": 1}]
metrics = {"best/objective": 0.5, "best/epoch": 1, "best/threshold": 0.4}
rows += [{"event": "epoch", "trial": 1, "epoch": 9, "metrics": metrics}] * int(epochs)
rows += [{"event": "search_ended", "status": end, "reason": "as told"}] * (end != "none")
with open(path, "a") as file:
    file.writelines(json.dumps({**row, "time": 1.0}) + "\\n" for row in rows)
os.kill(os.getpid(), -int(code)) if int(code) < 0 else sys.exit(int(code))
"""


@pytest.fixture
def room(tmp_path):
    write_search_folder(tmp_path / "mine", whole=False)
    return tmp_path


def child(room, word, *, epochs=1, end="none", code=0):
    calls = room / "calls"
    arguments = (room / "mine/journal.jsonl", calls, word, epochs, end, code)
    return [sys.executable, "-S", "-c", CHILD, *map(str, arguments)]


def run(room, first, again, restarts=2):
    return supervise(
        room / "mine", first, again, restarts=restarts, terminal=Terminal(), pause_s=0.01
    )


def calls(room):
    return (room / "calls").read_text().split()


def warnings(capsys):
    return [line.removeprefix("warning: ") for line in capsys.readouterr().err.splitlines()]


def test_a_child_that_is_killed_is_resumed_until_it_is_done(room, capsys):
    dying = child(room, "first", code=-9)
    (room / "mine/spec.yaml").rename(room / "spec.yaml")  # the first attempt has no folder yet
    mended = ["sh", "-c", f"mv {room}/spec.yaml {room}/mine/; exec {shlex.join(dying)}"]
    assert run(room, mended, child(room, "again", end="completed")) == 0
    assert calls(room) == ["first", "again"]
    assert warnings(capsys) == [
        "the search was killed (SIGKILL); restarting in 0.01 s (1 of 2)",
    ]


def test_without_a_folder_the_first_command_is_tried_again(room):
    (room / "mine/spec.yaml").unlink()
    assert run(room, child(room, "first", code=-9), child(room, "again"), restarts=1) == 137
    assert calls(room) == ["first", "first"]


def test_restarts_are_counted(room, capsys):
    dying = child(room, "again", end="failed", code=1)
    assert run(room, dying, dying, restarts=2) == 1
    assert len(calls(room)) == 3
    assert warnings(capsys) == [
        "the search ended: as told; restarting in 0.01 s (1 of 2)",
        "the search ended: as told; restarting in 0.01 s (2 of 2)",
        "the search ended: as told; not restarted: --restart 2 is spent",
    ]


def test_two_attempts_without_an_epoch_are_enough(room, capsys):
    dying = child(room, "again", epochs=0, code=-11)
    assert run(room, child(room, "first", code=-11), dying, restarts=9) == 128 + 11
    assert calls(room) == ["first", "again", "again"]
    assert warnings(capsys)[-1] == (
        "the search was killed (SIGSEGV); not restarted: 2 attempts in a row finished no epoch"
    )


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("completed", 0),
        ("none", 2),
        ("interrupted", 130),
    ],
)
def test_what_is_no_accident_is_not_repeated(room, capsys, end, code):
    command = child(room, "first", end=end, code=code)
    assert run(room, command, command) == code
    assert calls(room) == ["first"]
    assert warnings(capsys) == []


def test_a_failure_after_the_end_is_repeated_only_for_the_test_scores(room, capsys):
    command = child(room, "first", end="completed", code=1)
    assert run(room, command, command, restarts=1) == 1
    assert len(calls(room)) == 2
    assert warnings(capsys)[0].startswith("the winner has no test scores: as told; restarting")
    journal = room / "mine/journal.jsonl"  # no trial finished an epoch: nothing would change
    journal.write_text("")
    command = child(room, "first", epochs=0, end="completed", code=1)
    assert run(room, command, command, restarts=1) == 1
    assert len(calls(room)) == 3


SUPERVISOR = """
import sys
from pathlib import Path
from search.console import Terminal
from search.supervisor import supervise

code = "import signal, sys, time; got = []\\n"
code += "for n in (2, 15): signal.signal(n, lambda n, _: got.append(n))\\n"
code += "print('up', flush=True)\\n"
code += "while not got: time.sleep(0.02)\\n"
code += "time.sleep(0.3); print(*got, flush=True); sys.exit(130)"
command = [sys.executable, "-S", "-c", code]
sys.exit(supervise(Path("none"), command, command, restarts=5, terminal=Terminal(), pause_s=30))
"""


@contextlib.contextmanager
def supervising():
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_child_once_and_ends_all_of_it(number):
    with supervising() as process:
        os.killpg(process.pid, number)  # as a terminal's Ctrl-C, or a shell's kill %1
        out, _ = process.communicate(timeout=20)
    assert out.split() == [str(int(number))]
    assert process.returncode == 130


def test_a_supervisor_that_is_killed_ends_its_child_in_order():
    with supervising() as process:
        [inner] = psutil.Process(process.pid).children()
        process.kill()
        assert process.stdout.read().split() == ["15"]
        psutil.wait_procs([inner], timeout=10)
        assert not inner.is_running()


def test_a_signal_between_two_attempts_ends_it(room):
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    started = time.monotonic()
    command = child(room, "first", code=-9)
    code = supervise(room / "mine", command, command, restarts=5, terminal=Terminal(), pause_s=30)
    assert code == 137
    assert calls(room) == ["first"]
    assert time.monotonic() - started < 10


def test_a_request_between_two_attempts_ends_it(room, capsys):
    asked = []

    def ask():
        deadline = time.monotonic() + 10
        while not is_live(room / "mine") and time.monotonic() < deadline:
            time.sleep(0.05)
        asked.append(main(["stop", "mine", "--runs-dir", str(room)]))

    thread = threading.Thread(target=ask)
    thread.start()
    command = child(room, "first", code=-9)
    code = supervise(room / "mine", command, command, restarts=5, terminal=Terminal(), pause_s=30)
    thread.join()
    assert (code, asked) == (137, [0])
    assert calls(room) == ["first"]
    assert "continue with: python -m search resume mine" in capsys.readouterr().out


def commands_of(monkeypatch, *argv):
    """What `search ARGV` would have supervised."""
    seen = {}

    def fake(folder, first, again, **options):
        seen.update(folder=folder, first=first[3:], again=again[3:], **options)
        return 7

    monkeypatch.setattr(supervisor, "supervise", fake)
    assert main(argv) == 7
    return seen


def test_every_attempt_at_a_new_search_has_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("LONGTAIL_TRACKING_URI", "")  # taken back at the end
    argv = ("run", "--loss", "fl", "--dataset", "demo", "--runs-dir", str(tmp_path))
    uri = "http://me:secret@host:5000"
    seen = commands_of(monkeypatch, *argv, "--restart", "3", "--tracking-uri", uri)
    name = seen["folder"].name
    assert name.startswith("fl-demo-")
    assert seen["folder"].parent == tmp_path
    assert seen["restarts"] == 3
    # what is secret in it is stored nowhere, and no child's arguments show it
    plain = "http://host:5000"
    assert seen["first"] == [*argv, "--tracking-uri", plain, "--name", name]
    place = ["--runs-dir", str(tmp_path), "--trust"]
    assert seen["again"] == ["resume", name, *place, "--tracking-uri", plain]
    assert os.environ["LONGTAIL_TRACKING_URI"] == uri
    named = commands_of(monkeypatch, *argv, "--name", "mine", "--restart=1")
    assert named["first"] == [*argv, "--name", "mine"]


def test_a_resume_is_repeated_with_what_it_changes(monkeypatch, tmp_path):
    changes = ("--trials", "9", "--time-budget", "2h", "--hang-timeout", "10m")
    place = ("--runs-dir", str(tmp_path))
    seen = commands_of(monkeypatch, "resume", "mine", *changes, *place, "--restart", "0")
    assert seen["first"] == ["resume", "mine", *changes, *place]
    assert seen["again"] == seen["first"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--restart", "-1"], "--restart must be at least 0, got -1"),
        (["--restart", "2", "--loss", "bd"], "unknown loss 'bd': did you mean 'db'?"),
        (["--hang-timeout", "soon"], "--hang-timeout: must be seconds or like 30m, 2h, got 'soon'"),
    ],
)
def test_a_wrong_option_costs_no_attempt(argv, message, capsys):
    assert main(["run", *argv]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
