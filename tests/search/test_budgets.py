from types import SimpleNamespace

import pytest

from search import budgets
from search.budgets import Plateau, Spending, folder_bytes, trial_seconds


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(budgets.time, "monotonic", lambda: now.s)
    return now


def test_trials_side_by_side_spend_the_compute_budget_together(clock):
    spending = Spending(trial_s=100.0, trial_s_before=40.0)
    spending.note_running(0)
    clock.s += 500  # Ray starts
    spending.note_running(2)
    assert spending.spent() is None
    clock.s += 29
    spending.note_running(2)
    assert spending.spent() is None
    clock.s += 1
    spending.note_running(1)
    status, reason = spending.spent()
    assert status == "compute_budget"
    assert reason == "trials have run for the 100 s they may"


def test_the_folder_is_measured_now_and_then(clock, tmp_path):
    spending = Spending(tmp_path, disk_gib=1e-6)  # 1,073 bytes
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a").write_bytes(bytes(1000))
    assert spending.spent() is None
    (tmp_path / "b").write_bytes(bytes(200))
    assert folder_bytes(tmp_path) == 1200
    assert spending.spent() is None  # looked at a moment ago
    clock.s += 10
    status, reason = spending.spent()
    assert status == "disk_budget"
    assert reason == "the search folder holds 0.00 GiB of the 1e-06 it may"


def started(trial, time):
    return {"event": "trial_started", "trial": trial, "time": time, "params": {}}


def epoch(trial, time, value=0.0):
    metrics = {"best/objective": value}
    return {"event": "epoch", "trial": trial, "time": time, "epoch": 1, "metrics": metrics}


def ended(trial, time=0.0):
    return {"event": "trial_ended", "trial": trial, "time": time, "status": "completed"}


def test_trial_seconds_of_a_journal():
    events = [
        started(0, 10.0),
        started(1, 12.0),
        epoch(0, 20.0),
        ended(0, 21.0),
        epoch(1, 30.0),  # then the driver was killed
        {"event": "search_started", "time": 100.0, "attempt": 2},
        started(1, 110.0),
        ended(1, 115.0),
    ]
    assert trial_seconds(events) == 11 + 18 + 5
    for seed in (1, 2):
        events.append({"event": "confirm_started", "trial": 0, "seed": seed, "time": 120.0 + seed})
    events.append({"event": "confirm_epoch", "trial": 0, "seed": 1, "time": 131.0})
    events.append({"event": "confirm_ended", "trial": 0, "seed": 2, "time": 142.0})
    assert trial_seconds(events) == 11 + 18 + 5 + 10 + 20


def test_patience_counts_the_trials_since_the_best():
    plateau = Plateau(2)
    for number, value in enumerate([0.5, 0.7, 0.6]):
        for event in (started(number, 0.0), epoch(number, 0.0, value), ended(number)):
            plateau(event)
    assert (plateau.best, plateau.since, plateau.reached) == (0.7, 1, False)
    plateau(ended(9))  # failed before its first epoch
    assert plateau.reached
    for event in (epoch(5, 0.0, 0.8), ended(5)):
        plateau(event)
    assert not plateau.reached


def test_epochs_before_a_restart_do_not_count():
    plateau = Plateau(1)
    restart = {"event": "trial_restarted", "trial": 0, "time": 0.0, "reason": ""}
    for event in (epoch(0, 0.0, 0.9), restart, epoch(0, 0.0, 0.4), ended(0)):
        plateau(event)
    assert plateau.best == 0.4


def test_without_patience_it_is_never_reached():
    plateau = Plateau(0)
    for number in range(50):
        plateau(ended(number))
    assert not plateau.reached
