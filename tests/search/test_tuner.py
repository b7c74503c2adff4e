"""Whole searches on a real Ray instance, with dummy trials."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from search.cli import main
from search.journal import read_journal
from search.lock import is_live
from tests.small_search import ROOT, make_folder, run_dummies, small_spec
from tests.words import words_everywhere
from trainable.config import BEST_OBJECTIVE
from trainable.errors import UsageError

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def events_of(spec, kind):
    events = read_journal(spec.folder / "journal.jsonl")
    return [event for event in events if event["event"] == kind]


def statuses(spec):
    return {event["trial"]: event["status"] for event in events_of(spec, "trial_ended")}


def load_study(spec):
    storage = f"sqlite:///{spec.folder / 'study.db'}"
    return optuna.load_study(study_name=spec.name, storage=storage)


def ray_processes():
    """Processes of Ray below this one."""
    children = psutil.Process().children(recursive=True)
    alive = [p for p in children if p.status() != psutil.STATUS_ZOMBIE]
    # other tests' pools leave multiprocessing's tracker, which lives as long as this process
    return [p.pid for p in alive if "resource_tracker" not in " ".join(p.cmdline())]


@pytest.fixture
def scratch_root(monkeypatch):
    """Where searches put their scratch folders: short, or Ray's sockets do not fit."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as root:
        monkeypatch.setenv("TMPDIR", root)
        monkeypatch.setattr(tempfile, "tempdir", root)
        yield Path(root)


@contextlib.contextmanager
def small_search_process(folder, name):
    child = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "small_search.py", folder, name],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def check_new_starts(spec, trials):
    """Of workers that died, and of a trial that went on with less memory. And the NaN."""
    [nan] = [event for event in events_of(spec, "trial_ended") if event["trial"] == 7]
    assert nan["reason"] == "the objective is not finite at epoch 3"
    assert trials[7].intermediate_values == {1: 0.99 / 2, 2: 0.99 * 0.75}
    rows = [e["epoch"] for e in events_of(spec, "epoch") if e["trial"] == 8]
    assert rows == [1, 2, 1, 2, 3, 4, 5, 6]
    assert trials[8].value == 0.97 * (1 - 0.5**6)
    restarts = [event["trial"] for event in events_of(spec, "trial_restarted")]
    assert restarts == [3, 4, 6, 8]  # each once


def test_every_end_is_told_as_what_it_was(tmp_path, scratch_root):
    spec = small_spec(tmp_path, trials=9, max_concurrent=1)
    make_folder(
        spec,
        {
            "quality": dict(
                zip("012345678", (0.6, 0.7, 0.2, 0.9, 0.8, 0.85, 0.95, 0.99, 0.97), strict=True)
            ),
            "acts": {
                "1": ["diverge", 3],
                "3": ["raise", 2],
                "4": ["kill", 3],
                "5": ["out_of_memory", 1],
                "6": ["kill_always", 2],
                "7": ["nan", 3],
                "8": ["restart", 3],
            },
        },
    )
    heard = []

    def broken_listener(_):
        raise RuntimeError("a listener may fail")

    run_dummies(spec, listeners=[broken_listener, heard.append])

    assert statuses(spec) == {
        0: "completed",
        1: "diverged",
        2: "stopped",
        3: "failed",
        4: "completed",
        5: "out_of_memory",
        6: "failed",
        7: "diverged",
        8: "completed",
    }
    assert words_everywhere(spec) == statuses(spec)
    reasons = {event["trial"]: event["reason"] for event in events_of(spec, "trial_ended")}
    assert reasons[1] == "diverge in step 3"
    assert reasons[2] == "below the top half at epoch 1"
    assert reasons[3] == "ValueError: the dummy was told to raise"
    assert reasons[6] == "its worker process died: killed from outside, or it crashed"

    trials = load_study(spec).trials
    wanted = [TrialState.FAIL] * 9
    wanted[0] = wanted[4] = wanted[8] = TrialState.COMPLETE
    wanted[2] = TrialState.PRUNED
    assert [trial.state for trial in trials] == wanted
    assert [trial.user_attrs["status"] for trial in trials] == [
        status for _, status in sorted(statuses(spec).items())
    ]
    # stopped on epoch 1: that epoch is there, and is the value
    assert trials[2].intermediate_values == {1: 0.1}
    assert trials[2].value == 0.1
    # completed: the best epoch; every epoch once, though the worker was killed in the third
    last = [e for e in events_of(spec, "epoch") if e["trial"] == 4][-1]
    assert trials[4].value == last["metrics"][BEST_OBJECTIVE] == 0.8 * (1 - 0.5**6)
    assert sorted(trials[4].intermediate_values) == [1, 2, 3, 4, 5, 6]
    assert trials[1].intermediate_values == {1: 0.35, 2: 0.7 * 0.75}
    check_new_starts(spec, trials)
    # trial 0 has the paper's values
    assert trials[0].params["learning_rate"] == 1e-4

    # one actor served trials 0 to 3: reset, not started anew
    workers = {e["trial"]: e["metrics"]["pid_of_worker"] for e in events_of(spec, "epoch")[:9]}
    assert workers[0] == workers[1] == workers[2]

    report = json.loads((spec.folder / "test_report.json").read_text())
    assert (report["trial"], report["threshold"], report["micro_f1"]) == (8, 0.4, 0.66)
    assert report["learning_rate"] == trials[8].params["learning_rate"]
    [ended] = events_of(spec, "search_ended")
    assert (ended["status"], ended["reason"]) == ("completed", "")
    assert heard == read_journal(spec.folder / "journal.jsonl")
    assert ray_processes() == []
    assert list(scratch_root.iterdir()) == []
    # study.db-*: this test has the database open
    acted = ("killed", "restarted", "study.db-")
    kept = {path.name for path in spec.folder.iterdir() if not path.name.startswith(acted)}
    assert kept == {
        "journal.jsonl",
        "plan.json",
        "spec.yaml",
        "study.db",
        *("summary.json", "trials.csv"),  # of words_everywhere
        "test_report.json",
        "tracking.lock",
        "weights",
    }


class Clock:
    """A clock that can be put forward."""

    offset = 0.0

    def monotonic(self):
        return time.monotonic() + self.offset


def test_time_budget_then_more_of_the_same(tmp_path, monkeypatch):
    spec = small_spec(tmp_path, trials=3, epochs=3, max_concurrent=1, time_budget_s=5000)
    clock = Clock()
    monkeypatch.setattr("search.budgets.time", clock)

    def pass_time(event):
        if event["event"] == "epoch" and event["trial"] == 1:
            clock.offset = 5000

    quality = {"0": 0.7, "1": 0.8, "2": 0.3}
    make_folder(spec, {"quality": quality, "acts": {"1": ["hang", 2]}})
    run_dummies(spec, listeners=[pass_time])
    [ended] = events_of(spec, "search_ended")
    assert ended["status"] == "time_budget"
    assert ended["reason"] == "the time budget of 5000 s is spent"
    assert statuses(spec) == {0: "completed"}
    states = [trial.state for trial in load_study(spec).trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL]
    assert load_study(spec).trials[1].user_attrs["status"] == "interrupted"
    assert [event["trial"] for event in events_of(spec, "test_evaluated")] == [0]

    make_folder(spec, {"quality": {**quality, "3": 0.95}})
    run_dummies(spec.replace(time_budget_s=None))
    trials = load_study(spec).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "PRUNED", "COMPLETE"]
    assert trials[2].params == trials[1].params
    started = {event["trial"]: event for event in events_of(spec, "trial_started")}
    assert started[2]["resumes"] == 1
    assert "resumes" not in started[3]
    # the rungs of the first attempt still judge: 0.3 is below the 0.7 of trial 0
    assert statuses(spec) == {0: "completed", 2: "stopped", 3: "completed"}
    assert [event["trial"] for event in events_of(spec, "test_evaluated")] == [0, 3]
    assert [event["attempt"] for event in events_of(spec, "search_started")] == [1, 2]

    run_dummies(spec.replace(time_budget_s=None))  # nothing left, nothing done
    assert len(load_study(spec).trials) == 4
    assert events_of(spec, "search_ended")[-1]["reason"] == "nothing was left to do"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, "search stop"])
def test_a_signal_or_a_request_ends_the_search_cleanly(tmp_path, scratch_root, how, capsys):
    spec = small_spec(tmp_path, trials=4, max_concurrent=2, cpus_per_trial=0.5, grace_period=6)
    make_folder(spec, {"acts": {"0": ["hang", 2], "1": ["hang", 3]}})
    with small_search_process(tmp_path, spec.name) as child:
        # trial 0 one epoch, trial 1 two: then both hang
        epochs = (json.loads(line) for line in child.stdout if '"epoch", ' in line)
        assert [event["trial"] for _, event in zip(range(3), epochs, strict=False)]
        family = psutil.Process(child.pid).children(recursive=True)
        assert len(family) > 3
        time.sleep(0.5)
        sent = time.monotonic()
        if how == "search stop":
            assert main(["stop", spec.name, "--runs-dir", str(tmp_path)]) == 0
            assert not is_live(spec.folder)
            out = capsys.readouterr().out
            assert f"search '{spec.name}' interrupted: stopped by `search stop`" in out
        else:  # a terminal sends Ctrl-C to the whole group, others SIGTERM to the process
            (os.killpg if how == signal.SIGINT else os.kill)(child.pid, how)
        _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (0, "")
    assert time.monotonic() - sent < 30
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    assert list(scratch_root.iterdir()) == []

    [ended] = events_of(spec, "search_ended")
    assert ended["status"] == "interrupted"
    assert "the test set stays sealed" in ended["reason"]
    assert statuses(spec) == {}
    assert not (spec.folder / "test_report.json").exists()
    trials = load_study(spec).trials
    assert {trial.state for trial in trials} == {TrialState.FAIL}
    assert [trial.user_attrs["status"] for trial in trials] == ["interrupted"] * 2


def test_a_second_signal_aborts_and_still_leaves_nothing(tmp_path, scratch_root):
    spec = small_spec(tmp_path, trials=2, max_concurrent=1)
    make_folder(spec, {"acts": {"0": ["hang", 2]}})
    with small_search_process(tmp_path, spec.name) as child:
        next(line for line in child.stdout if '"epoch", ' in line)
        family = psutil.Process(child.pid).children(recursive=True)
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate(timeout=60)
    assert child.returncode != 0
    assert "KeyboardInterrupt" in errors
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert list(scratch_root.iterdir()) == []
    [ended] = events_of(spec, "search_ended")
    assert ended["status"] == "interrupted"


def test_a_trial_that_fits_nowhere_is_told(tmp_path):
    spec = small_spec(tmp_path, cpus_per_trial=1000)
    make_folder(spec, {})
    with pytest.raises(UsageError, match=r"a trial takes 1000 CPU, the Ray cluster has \d+: lower"):
        run_dummies(spec)
    assert events_of(spec, "search_ended")[0]["status"] == "failed"
