"""Whole searches that train: weights are there when the test set is opened, and what was killed
goes on from its checkpoint with the numbers of an undisturbed search."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import psutil
import pytest
import torch
from ray.tune.schedulers import FIFOScheduler

from search import tuner
from search.journal import read_journal
from tests.real_search import ROOT, real_spec, run_real
from tests.tiny import tiny_encoded
from tests.words import words_everywhere
from trainable.config import BEST_OBJECTIVE
from trainable.forward import Forward
from trainable.loop import TrainingSession
from trainable.trial import FineTuneTrial

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def scratch_root(monkeypatch, tmp_path_factory):
    """Where searches put their scratch folders: short, or Ray's sockets do not fit."""
    tmp_path_factory.getbasetemp()  # pytest's own stays where it is
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as root:
        monkeypatch.setenv("TMPDIR", root)
        monkeypatch.setattr(tempfile, "tempdir", root)
        yield Path(root)


def make_folder(spec):
    spec.folder.mkdir()
    spec.save(spec.folder / "spec.yaml")
    return spec


def events_of(spec, kind, **fields):
    events = read_journal(spec.folder / "journal.jsonl")
    return [e for e in events if e["event"] == kind and fields.items() <= e.items()]


def rows(spec, trial):
    """(epoch, metrics) as the journal has them, in its order."""
    return [(e["epoch"], e["metrics"]) for e in events_of(spec, "epoch", trial=trial)]


def numbers(epochs):
    """Without times."""
    return [
        (epoch, {k: v for k, v in metrics.items() if not k.startswith(("time/", "system/"))})
        for epoch, metrics in epochs
    ]


def times(epochs):
    return [metrics["time/epoch_s"] for _, metrics in epochs]


def retrained(spec):
    """Whether the winner's weights were lost; there are test scores in any case."""
    report = json.loads((spec.folder / "test_report.json").read_text())
    told = "were lost" in events_of(spec, "search_ended")[-1]["reason"]
    assert told is ("retrained_objective" in report)
    return told


class StopAt(FIFOScheduler):
    """Stops trial n after an epoch of its own.

    ASHA never stops a winner: the trials that it is compared with, and that are better, stay.
    """

    def __init__(self, epochs):
        super().__init__()
        self._epochs = epochs

    def on_trial_result(self, _controller, trial, result):
        at = self._epochs.get(trial.config["number"])
        return self.STOP if result["epoch"] == at else self.CONTINUE


@pytest.mark.parametrize("winner", [1, 2])
def test_the_weights_of_a_winner_that_was_stopped_are_there(tmp_path, monkeypatch, winner):
    """Its actor went on to the next trial (1), or ended with the search (2)."""
    epochs = {0: 1, 1: 1, 2: 1, winner: 5}
    monkeypatch.setattr(tuner, "build_scheduler", lambda *_: StopAt(epochs))
    spec = make_folder(real_spec(tmp_path, trials=3))
    run_real(spec)
    ends = events_of(spec, "trial_ended")
    assert [end["status"] for end in ends] == ["stopped"] * 3
    assert [e["trial"] for e in events_of(spec, "test_evaluated")] == [winner]
    assert not retrained(spec)


def test_the_weights_of_a_winner_that_completed_are_there(tmp_path):
    spec = make_folder(
        real_spec(tmp_path, trials=4, grace_period=2, max_concurrent=2, cpus_per_trial=0.5)
    )
    run_real(spec)
    [tested] = events_of(spec, "test_evaluated")
    [end] = events_of(spec, "trial_ended", trial=tested["trial"])
    assert end["status"] == "completed"
    assert not retrained(spec)
    assert not (spec.folder / "checkpoints").exists()


class Clock:
    """A clock that can be put forward."""

    offset = 0.0

    def monotonic(self):
        return time.monotonic() + self.offset


def test_the_weights_of_a_winner_whose_time_is_up_are_there(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("search.budgets.time", clock)

    def pass_time(event):
        if event["event"] == "epoch" and event["epoch"] == 5:
            clock.offset = 5000

    spec = make_folder(real_spec(tmp_path, epochs=10_000, trials=1, time_budget_s=5000))
    run_real(spec, listeners=[pass_time])
    assert events_of(spec, "search_ended")[0]["status"] == "time_budget"
    assert events_of(spec, "trial_ended") == []
    assert not retrained(spec)


def undisturbed(spec, trial):
    """The epochs of a trial in one go, without Ray or a search."""
    [started] = events_of(spec, "trial_started", trial=trial)
    session = TrainingSession(spec.trial_config(started["params"]), tiny_encoded())
    metrics = [session.run_epoch() for _ in range(6)]
    return [(m.pop("epoch"), m) for m in metrics]


def intermediate_values(spec, number):
    study = optuna.load_study(study_name=spec.name, storage=f"sqlite:///{spec.folder / 'study.db'}")
    return study.trials[number].intermediate_values


def is_worker(process):
    title = " ".join(process.cmdline())  # the second: while it trains
    return "ray::FineTuneTrial" in title or "ray::ResourceTrainable" in title


def test_a_driver_killed_with_sigkill(tmp_path):
    spec = make_folder(real_spec(tmp_path, checkpoint_every=1))
    child = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "real_search.py", tmp_path, spec.name],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        events = map(json.loads, (line for line in child.stdout if line.startswith("{")))
        next(e for e in events if e["event"] == "epoch" and (e["trial"], e["epoch"]) == (1, 3))
        family = psutil.Process(child.pid).children(recursive=True)
        assert any(is_worker(process) for process in family)
    finally:
        child.kill()
        child.communicate()
    for process in family:  # at once, workers too: as when the machine goes down
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    before = rows(spec, 1)
    assert 3 <= len(before) < 6

    run_real(spec)
    [started] = events_of(spec, "trial_started", trial=2)
    assert started["resumes"] == 1
    again = rows(spec, 2)
    expected = undisturbed(spec, 2)
    assert numbers(again) == numbers(expected)
    # the same seconds: epochs that were told again, not trained again
    assert times(again)[: len(before)] == times(before)
    assert [epoch for epoch, _ in again] == [1, 2, 3, 4, 5, 6]
    assert intermediate_values(spec, 2) == {e: m[BEST_OBJECTIVE] for e, m in expected}
    assert list(spec.folder.glob("checkpoints/*")) == []
    assert not retrained(spec)


def test_a_worker_killed_with_sigkill(tmp_path):
    killed = []

    def kill(event):
        if event["event"] == "epoch" and (event["trial"], event["epoch"]) == (1, 3) and not killed:
            killed.append(event)
            for process in psutil.Process().children(recursive=True):
                if is_worker(process):
                    process.kill()

    spec = make_folder(real_spec(tmp_path, checkpoint_every=2))
    run_real(spec, listeners=[kill])
    assert [e["trial"] for e in events_of(spec, "trial_restarted")] == [1]
    told = rows(spec, 1)
    before, again = told[:3], told[3:]
    expected = undisturbed(spec, 1)
    assert numbers(again) == numbers(expected)
    # two epochs were in the checkpoint, the third was trained again
    same = [a == b for a, b in zip(times(before), times(again)[:3], strict=True)]
    assert same == [True, True, False]
    assert intermediate_values(spec, 1) == {e: m[BEST_OBJECTIVE] for e, m in expected}
    assert list(spec.folder.glob("checkpoints/*")) == []
    assert not retrained(spec)


def test_a_trial_whose_memory_ran_out_goes_on_with_less(tmp_path):
    """In the third epoch of trial 0 an allocation fails for real; afterwards it fits."""

    class Hungry(FineTuneTrial):
        def setup(self, config, **shared):
            real, passes = Forward.logits, []

            def logits(forward, split, docs_B):
                passes.extend([len(docs_B)] if forward.model.training else [])
                if len(passes) == 20:  # 8 an epoch
                    torch.empty(2**50, dtype=torch.uint8)
                return real(forward, split, docs_B)

            Forward.logits = logits
            super().setup(config, **shared)

    exact = {"dropout": 0.0, "attention_dropout": 0.0, "precision": "fp32"}
    spec = real_spec(tmp_path, trials=2)
    spec = make_folder(spec.replace(config=spec.config.replace(**exact)))
    run_real(spec, trainable=Hungry)
    [again] = events_of(spec, "trial_restarted")
    assert again["trial"] == 0
    told = "goes on with micro-batches of at most 4 documents instead of 8 (same batch of 8): "
    assert told in again["reason"]
    assert "allocate memory" in again["reason"]
    for trial in (0, 1):
        for (epoch, found), (_, expected) in zip(
            numbers(rows(spec, trial))[-6:], numbers(undisturbed(spec, trial)), strict=True
        ):
            assert found == pytest.approx(expected, abs=1e-6), epoch
    assert set(words_everywhere(spec).values()) == {"completed"}
    assert not retrained(spec)
