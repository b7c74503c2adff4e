"""The parts of a search's time, from a journal made by hand; and a real search."""

import json

import pytest

from benchmarks.search_overhead import main, parts_of


def event(kind, time, **fields):
    return {"event": kind, "time": time, **fields}


def epoch(time, seconds):
    return event("epoch", time, metrics={"time/epoch_s": seconds})


def test_parts_by_hand():
    events = [
        event("search_started", 110.0),
        event("trial_started", 125.0, trial=0),
        event("trial_started", 126.0, trial=1),
        epoch(135.0, 9.0),
        event("trial_ended", 135.5, trial=0),
        event("trial_started", 136.0, trial=2),
        epoch(137.0, 10.0),
        event("trial_ended", 137.0, trial=1),
        epoch(145.0, 9.0),
        event("trial_ended", 145.0, trial=2),
        event("test_evaluated", 150.0, trial=1),
        event("search_ended", 151.0),
    ]
    parts = parts_of(events, 100.0, 158.0, 2)
    assert parts == {
        "trials": 3,
        "slots": 2,
        "epochs": 3,
        "compute_s": 28.0,
        "wall_s": 58.0,
        "overhead": pytest.approx(58 / 14),
        "overhead_while_trials_ran": pytest.approx(20 / 14),
        "before_s": 10.0,
        "ray_and_first_imports_s": 15.0,
        "trials_s": 20.0,
        "slots_not_computing_s": 6.0,
        "gap_between_trials_s": 0.5,
        "final_test_s": 5.0,
        "closing_s": 8.0,
    }
    assert parts["wall_s"] == sum(
        parts[name]
        for name in parts
        if name in {"before_s", "ray_and_first_imports_s", "trials_s", "final_test_s", "closing_s"}
    )


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_search_and_one_that_cannot_begin(encoder, capsys, tmp_path):
    few = ["--trials", "2", "--epochs", "1", "--docs", "120", "--max-length", "32", "--json"]
    assert main(["--encoder", encoder, *few]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["trials"] == found["epochs"] == 2
    assert found["overhead"] > found["overhead_while_trials_ran"] > 0
    assert found["final_test_s"] > 0
    assert main(["--encoder", encoder, "--data", str(tmp_path / "nowhere"), *few]) == 2
    assert "nowhere" in capsys.readouterr().err
