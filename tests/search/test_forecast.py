"""How long a search takes: against searches played through with random scores."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.forecast import expected_epochs, expected_reach, forecast
from search.hardware import Hardware
from search.probing import Probed
from tests.small_search import small_spec

HERE = Hardware(cpus=4, memory_gib=16.0, gpus=0)


def probed(**changes):
    values = {
        "device": "cpu",
        "precision": "bf16",
        "at_once": 2,
        "epoch_s": 10.0,
        "memory_bytes": 3 * 2**30,
        "memory_total": 0,
        "measured_at": 0.0,
        "busy": False,
    }
    return Probed(**{**values, **changes})


def played(trials, rungs, reduction_factor, rng):
    """How many trials come to each rung, and to the end: one after another, scores at random."""
    at_rung = [[] for _ in rungs]
    ended = 0
    for _ in range(trials):
        for seen in at_rung:
            seen.append(rng.random())
            rank = sorted(seen, reverse=True).index(seen[-1])
            if rank >= max(1, len(seen) // reduction_factor):
                break
        else:
            ended += 1
    return [*map(len, at_rung), ended]


@pytest.mark.parametrize(
    ("trials", "epochs", "grace", "factor"), [(32, 30, 3, 3), (12, 6, 2, 2), (4, 3, 1, 2)]
)
def test_expected_reach_is_the_mean_of_searches(trials, epochs, grace, factor):
    spec = small_spec(
        "/nowhere", trials=trials, epochs=epochs, grace_period=grace, reduction_factor=factor
    )
    rng = random.Random(0)
    rounds = [played(trials, spec.rungs, factor, rng) for _ in range(3000)]
    means = [sum(column) / len(rounds) for column in zip(*rounds, strict=True)]
    assert [stage.trials for stage in expected_reach(spec)] == pytest.approx(means, rel=0.08)
    assert [stage.epoch for stage in expected_reach(spec)] == [*spec.rungs, epochs]


@given(st.integers(1, 300), st.integers(1, 60), st.integers(1, 10), st.integers(2, 5))
def test_no_fewer_than_one_and_no_more_than_all(trials, epochs, grace, factor):
    spec = small_spec(
        "/nowhere", trials=trials, epochs=epochs, grace_period=grace, reduction_factor=factor
    )
    reach = expected_reach(spec)
    counts = [stage.trials for stage in reach]
    assert counts[0] == trials
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] >= 1
    assert epochs <= expected_epochs(reach) <= trials * epochs + 1e-9


def test_time_is_shared_by_trials_at_once():
    spec = small_spec("/nowhere", trials=5, epochs=6, grace_period=6, max_concurrent=2)
    ahead = forecast(spec, probed(), HERE)
    assert spec.rungs == ()
    assert ahead.expected_epochs == ahead.longest_epochs == 30
    assert ahead.expected_s == 30 * 10.0 / 2
    assert ahead.longest_s == 3 * 6 * 10.0  # the fifth trial runs alone
    assert ahead.budget_s is None


def test_a_search_is_no_shorter_than_one_whole_trial():
    spec = small_spec("/nowhere", trials=2, epochs=20, max_concurrent=2)
    assert forecast(spec, probed(), HERE).expected_s == 200.0


@pytest.mark.parametrize(
    ("budgets", "ends"),
    [
        ({}, None),
        ({"time_budget_s": 30.0}, 30.0),
        ({"time_budget_s": 1e6}, None),
        ({"compute_budget_s": 50.0}, 25.0),  # two trials at once spend it
        ({"time_budget_s": 30.0, "compute_budget_s": 50.0}, 25.0),
    ],
)
def test_a_budget_that_will_not_do(budgets, ends):
    spec = small_spec("/nowhere", **budgets)
    assert forecast(spec, probed(), HERE).budget_s == ends


def test_what_fits():
    spec = small_spec("/nowhere", cpus_per_trial=2)
    ahead = forecast(spec, probed(), HERE)
    assert (ahead.fit_by_cores, ahead.fit_by_memory) == (2, math.floor(16 / 3))
    gpus = Hardware(cpus=4, memory_gib=16.0, gpus=2)
    on_gpu = probed(memory_bytes=5 * 2**30, memory_total=24 * 2**30)
    shared = small_spec("/nowhere", cpus_per_trial=1, gpus_per_trial=0.5)
    ahead = forecast(shared, on_gpu, gpus)
    assert (ahead.fit_by_cores, ahead.fit_by_memory) == (4, 8)
