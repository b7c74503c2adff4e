"""The switch that ends a search, and when its clock starts."""

from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from ray.tune.experiment import Trial

from search import budgets, stopping
from search.budgets import Spending
from search.stopping import ActorReaper, StopSwitch


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(budgets.time, "monotonic", lambda: now.s)
    return now


def trial(status, trial_id="a"):
    return SimpleNamespace(
        trial_id=trial_id,
        status=status,
        temporary_state=SimpleNamespace(ray_actor=None),
    )


def test_the_budget_counts_from_the_first_running_trial(clock):
    switch = StopSwitch(Spending(wall_s=60.0))
    reaper = ActorReaper(switch)
    first = trial(Trial.PENDING)
    reaper.on_step_begin(trials=[first])
    clock.s += 500  # Ray starts, the first worker imports
    assert not switch.stop_all()
    first.status = Trial.RUNNING
    reaper.on_step_begin(trials=[first])
    clock.s += 59
    reaper.on_step_begin(trials=[first])
    assert not switch.stop_all()
    clock.s += 1
    assert switch.stop_all()
    assert (switch.status, switch.reason) == ("time_budget", "the time budget of 60 s is spent")


def test_without_a_budget_only_a_throw_ends_it(clock):
    switch = StopSwitch()
    switch.note_running(1)
    clock.s += 1e9
    assert not switch.stop_all()
    switch.throw("interrupted", "Ctrl-C")
    switch.throw("failed", "later")
    assert switch.stop_all()
    assert (switch.status, switch.reason) == ("interrupted", "Ctrl-C")


@pytest.mark.parametrize(
    ("status", "killed"), [("", 0), ("time_budget", 0), ("interrupted", 1), ("failed", 1)]
)
def test_busy_actors_may_write_their_weights_only_when_the_time_is_up(monkeypatch, status, killed):
    kills = []
    monkeypatch.setattr(stopping.ray, "kill", kills.append)
    switch = StopSwitch()
    reaper = ActorReaper(switch)
    running = trial(Trial.RUNNING)
    running.temporary_state.ray_actor = "actor"
    reaper.on_step_begin(trials=[running, trial(Trial.PENDING, "b")])
    if status:
        switch.throw(status, "")
    reaper.on_step_end()
    reaper.on_step_end()
    assert len(kills) == killed


def test_an_actor_is_told_that_its_trial_is_over():
    told = []
    over = trial(Trial.RUNNING)
    reaper = ActorReaper(StopSwitch())
    reaper.on_trial_complete(trial=over)
    over.temporary_state.ray_actor = SimpleNamespace()  # of a trainable that need not know
    reaper.on_trial_complete(trial=over)
    tell = SimpleNamespace(remote=lambda: told.append(1))
    over.temporary_state.ray_actor = SimpleNamespace(trial_over=tell)
    reaper.on_trial_complete(trial=over)
    assert told == [1]


def test_what_the_trials_left_may_be_spent_after_them(clock):
    spending = Spending(wall_s=100.0, trial_s=400.0, trial_s_before=200.0, part=0.25)
    switch = StopSwitch(spending)
    switch.note_running(1)
    clock.s += 24
    assert not switch.stop_all()
    clock.s += 1
    assert switch.stop_all()
    assert switch.release() == (
        "time_budget",
        "the time budget of 100 s, but for what is left to confirm the best, is spent",
    )
    assert not switch.stop_all()
    clock.s += 50  # workers start: trial time stands still, wall time does not
    switch.note_running(7)
    assert not switch.stop_all()
    clock.s += 24.9
    switch.note_running(7)
    assert not switch.stop_all()  # 200 + 25 + 7 * 24.9 s of trials
    clock.s += 0.1
    assert switch.stop_all()
    assert switch.reason == "the time budget of 100 s is spent"
    switch = StopSwitch(Spending(trial_s=400.0, trial_s_before=200.0, part=0.25))
    switch.note_running(1)
    clock.s += 50
    switch.note_running(1)
    assert switch.stop_all()
    assert switch.release()[1] == (
        "trials have run for the 400 s, but for what is left to confirm the best, they may"
    )
    switch.throw("interrupted", "Ctrl-C")
    assert switch.release() == ("", "")
    assert switch.status == "interrupted"
