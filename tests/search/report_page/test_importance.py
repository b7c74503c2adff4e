"""Importance against cases whose answer is known."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from search.report_page.importance import (
    LEAST_TRIALS,
    MOST_TRIALS,
    Importance,
    common_epoch,
    importance,
    ranks,
)
from search.report_page.ranges import dimensions
from search.results import load_search
from tests.many_trials import GAMMA, RATE, trial, write_trials


def rated(folder, trials, **options):
    record = load_search(write_trials(folder / "mine", trials, **options))
    return importance(record, dimensions(record))


def sampled(count, score, *, seed=0, epochs=1):
    """Trials at random settings whose every epoch has the score of its settings."""
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        params = {"learning_rate": 10 ** chance.uniform(-5, -3), "gamma": chance.uniform(0, 4)}
        rows.append(trial([score(chance, **params)] * epochs, **params))
    return rows


def test_the_setting_that_decides_is_found(tmp_path):
    trials = sampled(40, lambda chance, gamma, **_: 0.4 + gamma / 10 + chance.gauss(0, 0.01))
    found = rated(tmp_path, trials)
    assert next(iter(found.shares)) == "gamma"
    assert found.shares["gamma"] > 0.8 > found.by_chance
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert (found.trials, found.epoch, found.left_out) == (40, 1, ())


def test_pure_chance_is_not_above_chance(tmp_path):
    above = 0
    for seed in range(6):
        trials = sampled(16, lambda chance, **_: chance.uniform(0.4, 0.6), seed=seed)
        found = rated(tmp_path / str(seed), trials)
        above += max(found.shares.values()) > found.by_chance + 0.15
    assert above <= 2


def test_one_dead_learning_rate_does_not_decide_alone(tmp_path):
    """Ranks: a trial that learnt nothing is the worst, and no more than that."""
    trials = sampled(30, lambda _, gamma, **__: 0.4 + gamma / 10)
    trials.append(trial([0.0], learning_rate=1e-3, gamma=3.9))
    assert rated(tmp_path, trials).shares["gamma"] > 0.7


def test_too_few_trials_are_not_rated(tmp_path):
    trials = sampled(LEAST_TRIALS - 1, lambda _, gamma, **__: gamma / 10)
    broken = [trial([], status="failed", learning_rate=1e-4, gamma=1.0)] * 5
    assert rated(tmp_path, trials + broken) == LEAST_TRIALS - 1


def test_the_same_trials_give_the_same_answer(tmp_path):
    trials = sampled(15, lambda chance, gamma, **_: gamma / 10 + chance.random() / 10)
    assert rated(tmp_path / "a", trials) == rated(tmp_path / "b", trials)


def test_of_many_trials_some_are_taken(tmp_path):
    found = rated(tmp_path, sampled(MOST_TRIALS + 30, lambda _, gamma, **__: gamma / 10))
    assert isinstance(found, Importance)
    assert found.trials == MOST_TRIALS


def test_stopped_trials_count_at_the_epoch_that_all_reached(tmp_path):
    """What the long ones came to later must not speak for their settings."""
    chance = random.Random(1)
    trials = []
    for number in range(20):
        gamma = chance.uniform(0, 4)
        rate = 10 ** chance.uniform(-5, -3)
        first = [0.4 + gamma / 20] * 3
        ended = {"status": "stopped"} if number % 2 else {}
        more = [] if number % 2 else [0.9 - gamma / 10] * 3  # the other way round
        trials.append(trial(first + more, **ended, learning_rate=rate, gamma=gamma))
    found = rated(tmp_path, trials)
    assert found.epoch == 3
    assert found.shares["gamma"] > 0.8


def test_a_setting_that_never_varies_is_left_out(tmp_path):
    trials = [trial([0.4 + n / 100], learning_rate=1e-4, gamma=n / 5) for n in range(12)]
    found = rated(tmp_path, trials, dimensions=(RATE, GAMMA))
    assert found.left_out == ("learning_rate",)


def test_the_common_epoch(tmp_path):
    lengths = [3, 3, 3, 3, 3, 3, 3, 1, 9, 27]
    trials = [trial([0.5] * n, learning_rate=1e-4, gamma=1.0) for n in lengths]
    record = load_search(write_trials(tmp_path / "mine", trials))
    assert common_epoch(record.trials) == 3
    assert common_epoch(()) == 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_ranks_are_those_of_scipy(values):
    assert ranks(values) == pytest.approx(list(rankdata(values) - 1))
