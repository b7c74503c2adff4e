"""`--restart N`: children that die, fail, hang, or are told to end."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import optuna
import psutil
import pytest

from search import supervisor
from search.cli import main
from search.console import Terminal
from search.journal import read_journal
from search.lock import is_live, owner
from search.show import describe_search
from search.stop import stop_trial
from search.supervisor import supervise
from tests.search_folder import write_search_folder
from tests.small_search import ROOT, make_folder, small_spec

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


@pytest.fixture
def scratch_root(monkeypatch):
    """Where searches put their scratch folders: short, or Ray's sockets do not fit."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as root:
        monkeypatch.setenv("TMPDIR", root)
        yield Path(root)


class Saboteur:
    """Follows the journal of a search of one trial at a time, and lets happen what can happen.

    Attempt 1: trial 0 is stopped by request, then kill -9. 2: the GCS is killed. 3: a trial hangs.
    """

    def __init__(self, spec):
        self.spec = spec
        self.left_behind = []
        """What lived after a driver's death: (process ids, folders)."""
        self.error = None
        self.thread = threading.Thread(target=self._run)

    def events(self, kind, **fields):
        events = read_journal(self.spec.folder / "journal.jsonl")
        return [e for e in events if e["event"] == kind and fields.items() <= e.items()]

    def _run(self):
        try:
            self._wait("epoch", trial=0)
            stop_trial(self.spec.folder, 0, Terminal())
            self._wait("epoch", trial=1)
            self.shown = describe_search(self.spec.folder)
            self._kill(lambda driver: driver)
            self._wait("epoch", trial=2)
            self._kill(self._gcs)
        except BaseException as error:
            self.error = error
            raise

    def _wait(self, kind, **fields):
        deadline = time.monotonic() + 120
        while not self.events(kind, **fields):
            assert time.monotonic() < deadline, (kind, fields)
            time.sleep(0.05)

    def _kill(self, choose):
        scratch = list(Path(os.environ["TMPDIR"]).iterdir())
        driver = psutil.Process(int(owner(self.spec.folder).split()[0]))
        family = driver.children(recursive=True)
        assert len(family) > 3
        assert len(scratch) == 1
        choose(driver).kill()
        # not the driver: that would take its exit status away from the supervisor
        _, alive = psutil.wait_procs(family, timeout=45)
        left = [path for path in scratch if path.exists()]
        self.left_behind.append(([p.pid for p in alive], left))

    @staticmethod
    def _gcs(driver):
        [gcs] = [p for p in driver.children() if p.name() == "gcs_server"]
        return gcs


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_search_survives_all_of_it(tmp_path, scratch_root, monkeypatch, capfd):
    """kill -9, a dead head, a hung trial: it ends with as many trials as an undisturbed one."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    spec = small_spec(
        tmp_path, trials=3, epochs=12, grace_period=12, max_concurrent=1, hang_timeout_s=12
    )
    # without a head trial 2 would go on, and end, before that is noticed
    acts = {"2": ["hang", 5], "3": ["hang", 2]}
    make_folder(spec, {"step_s": 0.4, "acts": acts, "quality": {"4": 0.9}})
    command = [sys.executable, str(ROOT / "tests/small_search.py"), str(tmp_path), spec.name]
    saboteur = Saboteur(spec)
    saboteur.thread.start()
    code = supervise(spec.folder, command, command, restarts=3, terminal=Terminal(), pause_s=1.0)
    saboteur.thread.join()
    if saboteur.error is not None:
        raise saboteur.error
    assert code == 0
    assert saboteur.left_behind == [([], []), ([], [])]
    assert list(scratch_root.iterdir()) == []
    assert [trial["trial"] for trial in saboteur.shown["running"]] == [1]

    hung = "nothing has moved for "
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert [line.rpartition("; ")[2] for line in told] == [
        f"restarting in 1 s ({number} of 3)" for number in (1, 2, 3)
    ]
    assert told[0].startswith("warning: the search was killed (SIGKILL)")
    assert "Ray's head process (gcs_server) is gone" in told[1]
    assert hung in told[2]
    ends = [(e["status"], e["reason"]) for e in saboteur.events("search_ended")]
    assert [status for status, _ in ends] == ["failed", "failed", "completed"]
    assert ends[1][1].startswith(hung)
    assert "trial 3 was running" in ends[1][1]

    # a trial that was interrupted is run again under the next number
    resumes = {e["trial"]: e.get("resumes") for e in saboteur.events("trial_started")}
    assert resumes == {0: None, 1: None, 2: 1, 3: 2, 4: 3, 5: None}
    finished = {e["trial"]: e["status"] for e in saboteur.events("trial_ended")}
    assert finished == {0: "stopped", 4: "completed", 5: "completed"}
    assert len(finished) == spec.trials
    [stopped] = saboteur.events("trial_ended", trial=0)
    epochs = saboteur.events("epoch", trial=0)
    assert 1 <= len(epochs) < 12
    assert stopped["reason"] == f"by `search stop` at epoch {len(epochs)}"
    storage = f"sqlite:///{spec.folder / 'study.db'}"
    trials = optuna.load_study(study_name=spec.name, storage=storage).trials
    assert [trial.state.name for trial in trials] == [
        *("PRUNED", "FAIL", "FAIL", "FAIL", "COMPLETE", "COMPLETE"),
    ]
    assert trials[4].params == trials[1].params
    assert [e["trial"] for e in saboteur.events("test_evaluated")] == [4]
