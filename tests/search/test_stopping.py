"""The switch that ends a search, and when its clock starts."""

from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from ray.tune.experiment import Trial

from search import stopping
from search.stopping import ActorReaper, StopSwitch


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now.s)
    return now


def trial(status):
    return SimpleNamespace(status=status, temporary_state=SimpleNamespace(ray_actor=None))


def test_the_budget_counts_from_the_first_running_trial(clock):
    switch = StopSwitch(60.0)
    reaper = ActorReaper(switch)
    reaper.on_step_begin(trials=[trial(Trial.PENDING)])
    clock.s += 500  # Ray starts, the first worker imports
    assert not switch.stop_all()
    reaper.on_step_begin(trials=[trial(Trial.RUNNING)])
    clock.s += 59
    reaper.on_step_begin(trials=[trial(Trial.RUNNING)])
    assert not switch.stop_all()
    clock.s += 1
    assert switch.stop_all()
    assert (switch.status, switch.reason) == ("time_budget", "the time budget of 60 s is spent")


def test_without_a_budget_only_a_throw_ends_it(clock):
    switch = StopSwitch()
    switch.start_clock()
    clock.s += 1e9
    assert not switch.stop_all()
    switch.throw("interrupted", "Ctrl-C")
    switch.throw("failed", "later")
    assert switch.stop_all()
    assert (switch.status, switch.reason) == ("interrupted", "Ctrl-C")
