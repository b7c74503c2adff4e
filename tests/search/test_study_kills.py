"""A search that is killed anywhere does what an undisturbed one does; nothing twice, nothing lost.

A kill is an exception in place of a write to the study's database: what was written before it is
on disk, what comes after it never happens, and the next process knows the disk alone.
"""

import contextlib
import tempfile
from collections import Counter
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from search import study_storage
from search.outcome import Outcome
from search.study import SearchStudy
from spaces import space_for

SPACE = space_for("db", mu=0.5)
POINTS = (SPACE.paper_point(), {"gamma": 1.25}, {"gamma": 3.5, "mu": 0.55})
WRITES = (
    *("create_new_study", "_create_new_trial", "_set_trial_param", "set_trial_state_values"),
    *("set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr"),
)
WRITES_OF_A_TRIAL = 6
"""Itself, whole; two epochs; status and reason; state."""
STATUSES = ("completed", "stopped", "diverged", "completed", "failed")


class KilledError(BaseException):
    """The process is gone."""


class Disk:
    """Kills the process instead of a write."""

    def __init__(self, monkeypatch):
        self.left = None
        """Writes until the kill; None: never."""
        self.kills = 0
        for name in WRITES:
            self._guard(monkeypatch, optuna.storages.RDBStorage, name)
        self._guard(monkeypatch, study_storage._Database, "begin")

    def _guard(self, monkeypatch, kind, name):
        real = getattr(kind, name)

        def write(storage, *args, **kwargs):
            if self.left == 0:
                self.left = None
                self.kills += 1
                raise KilledError(name)
            if self.left is not None:
                self.left -= 1
            return real(storage, *args, **kwargs)

        monkeypatch.setattr(kind, name, write)


@pytest.fixture(autouse=True, scope="module")
def no_fsync():
    """The processes here die, the machine does not."""

    def connected(connection, _):
        connection.execute("PRAGMA synchronous = OFF")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", connected)
    yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "connect", connected)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def opened(folder, startup=4, points=POINTS):
    study = SearchStudy(folder, name="s", space=SPACE, seed=3, startup_trials=startup)
    study.open(*points)
    return study


def run_one(study, ray_id, nth):
    """A whole trial, whose outcome is a function of its settings and of how many ended before."""
    params = study.ask(ray_id).params
    value = 1 / (1 + abs(params["gamma"] - 1.7))
    for epoch in (1, 2):
        study.report(ray_id, epoch, value * epoch / 2)
    study.finish(ray_id, Outcome(STATUSES[nth % len(STATUSES)], "why"), [value])


def told(study):
    """What the study knows of the trials that ended, in the order of their ends."""
    trials = sorted(study.ended, key=lambda trial: trial.datetime_complete)
    return [
        (t.params, t.state, t.value, t.intermediate_values, t.user_attrs["status"]) for t in trials
    ]


def search(folder, trials, disk, kill_at, startup):
    """`trials` one after another; the n-th is killed once, at its `kill_at(n)`-th write."""
    folder.mkdir()
    process, killed = 0, set()
    study = opened(folder, startup, POINTS[:1])
    while (nth := len(study.ended)) < trials:
        if nth not in killed:
            killed.add(nth)
            disk.left = kill_at(nth)
        try:
            run_one(study, f"ray-{process}", nth)
            disk.left = None
        except KilledError:
            study = opened(folder, startup, POINTS[:1])
        process += 1
    return study


@pytest.mark.parametrize("startup", [4, 40])  # nearly all by TPE, or all at random
def test_killed_at_every_write_of_a_trial(tmp_path, disk, startup):
    trials = 22
    straight = search(tmp_path / "a", trials, disk, lambda _: None, startup)
    killed = search(tmp_path / "b", trials, disk, lambda nth: nth % WRITES_OF_A_TRIAL, startup)
    assert disk.kills == trials
    assert told(killed) == told(straight)
    params = [tuple(sorted(trial.params.items())) for trial in killed.ended]
    assert len(set(params)) == trials


def test_killed_at_every_write_before_the_first_trial(tmp_path, disk):
    for write in range(12):
        folder = tmp_path / str(write)
        folder.mkdir()
        disk.left = write
        with contextlib.suppress(KilledError):
            opened(folder)
        disk.left = None
        study = opened(folder)
        fixed = [trial.system_attrs["fixed_params"] for trial in study.trials]
        assert fixed == [dict(point) for point in POINTS]
    assert disk.kills >= 4


def test_killed_while_interrupted_trials_are_enqueued(tmp_path, disk):
    for write in range(24):
        folder = tmp_path / str(write)
        folder.mkdir()
        study = opened(folder)
        given = [study.ask(name).params for name in "abc"]
        disk.left = write
        with contextlib.suppress(KilledError):
            opened(folder)
        disk.left = None
        study = opened(folder)
        again = [study.ask(name) for name in "def"]
        assert sorted(p.resumes for p in again) == [0, 1, 2]
        assert [dict(p.params) for p in sorted(again, key=lambda p: p.resumes)] == given
        assert study.ask("g").resumes is None
    assert disk.kills >= 9


STEPS = st.lists(
    st.one_of(
        st.just(("ask",)),
        st.tuples(st.sampled_from(["report", "finish"]), st.integers(0, 3)),
        st.tuples(st.just("kill"), st.integers(0, 12)),
    ),
    max_size=25,
)


@settings(max_examples=15)
@given(steps=STEPS)
def test_whatever_happens_each_trial_counts_once(steps):
    trials = 8
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as monkeypatch:
        disk = Disk(monkeypatch)
        study = play(Path(name), disk, steps, trials)
        check(study, trials)


def play(folder, disk, steps, trials):
    """Up to three trials at a time through `steps`, then to the end without a kill."""
    study, running, process = opened(folder), [], 0
    finishing = [("ask",), ("finish", 0)] * (2 * trials + len(steps))
    for step in [*steps, *finishing]:
        if step[0] == "kill":
            disk.left = step[1]
            continue
        try:
            if step[0] == "ask" and len(running) < 3 and len(study.ended) + len(running) < trials:
                process += 1
                study.ask(f"ray-{process}")
                running.append(f"ray-{process}")
            elif step[0] == "report" and running:
                study.report(running[step[1] % len(running)], 1, 0.5)
            elif step[0] == "finish" and running:
                ray_id = running[step[1] % len(running)]
                value = 0.1 + process / 100
                study.finish(ray_id, Outcome(STATUSES[process % 5], "why"), [value])
                running.remove(ray_id)
        except KilledError:
            study, running = opened(folder), []
    disk.left = None
    return study


def check(study, trials):
    assert len(study.ended) == trials
    everything = study.trials
    assert all(trial.state.is_finished() for trial in everything)
    interrupted = {t.number for t in everything} - {t.number for t in study.ended}
    again = Counter(t.user_attrs["resumes"] for t in everything if "resumes" in t.user_attrs)
    assert again == Counter(interrupted)  # each interrupted trial ran again once
    for trial in everything:
        if "resumes" in trial.user_attrs and "ray_trial_id" in trial.user_attrs:
            before = everything[trial.user_attrs["resumes"]]
            if "ray_trial_id" in before.user_attrs:  # somebody had its settings
                assert trial.params == before.params
    points = [tuple(sorted(trial.params.items())) for trial in study.ended]
    assert len(set(points)) == trials
    completed = [t for t in study.ended if t.state == TrialState.COMPLETE]
    assert all(t.value is not None for t in completed)
