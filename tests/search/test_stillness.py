"""How long a search may be silent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.stillness import FIRST_EPOCH_LIMIT_S, Stillness


def event(kind, trial=0, **fields):
    return {"event": kind, "trial": trial, **fields}


def epoch(trial=0, seconds=1.0):
    return event("epoch", trial, epoch=1, metrics={"time/epoch_s": seconds})


def started(limit_s=None, epochs=10, past=()):
    still = Stillness(limit_s, epochs=epochs, now=0.0, past=past)
    still.note(event("trial_started"), 0.0)
    return still


def test_before_the_first_epoch_nobody_knows_how_long_one_takes():
    still = started()
    assert still.too_long(FIRST_EPOCH_LIMIT_S - 1) == ""
    assert still.too_long(FIRST_EPOCH_LIMIT_S) == (
        "nothing has moved for 21600 s (--hang-timeout 21600): trial 0 was running"
    )


@given(st.lists(st.floats(0.01, 5000), min_size=1, max_size=5))
def test_afterwards_it_is_twenty_of_the_longest_but_ten_minutes(lengths):
    still = started()
    now = 0.0
    for seconds in lengths:
        now += seconds
        still.note(epoch(seconds=seconds), now)
    limit = max(600.0, 20 * max(lengths))
    assert still.limit_s == pytest.approx(limit)
    assert still.too_long(now + 0.99 * limit) == ""
    assert still.too_long(now + 1.01 * limit)


def test_an_epoch_counts_with_the_time_that_its_worker_took_to_start():
    still = started()
    still.note(epoch(seconds=1.0), 100.0)
    assert still.limit_s == 2000.0


def test_epochs_of_earlier_attempts_count():
    assert started(past=[epoch(seconds=60.0)]).limit_s == 1200.0


def test_every_event_is_movement():
    still = started(5.0)
    for now in (4.0, 8.0, 12.0):
        assert still.too_long(now) == ""
        still.note(event("trial_restarted"), now)
    assert still.too_long(17.0)


def test_what_the_user_said_counts_once_a_trial_runs():
    still = Stillness(5.0, epochs=10, now=0.0)
    assert still.too_long(599.0) == ""  # Ray and its first worker start
    assert "no trial was running" in still.too_long(600.0)
    assert started(5.0).too_long(5.0)


def test_zero_is_never():
    assert started(0.0).limit_s is None
    assert started(0.0).too_long(1e12) == ""


def test_the_winner_may_be_trained_again_unheard():
    still = started(30.0, epochs=40)
    still.note(epoch(seconds=10.0), 10.0)
    assert still.limit_s == 30.0
    still.note(event("trial_ended"), 10.0)
    assert still.limit_s == 600.0 + 40 * 10.0


def test_runs_that_confirm_are_heard_too():
    still = Stillness(30.0, epochs=40, now=0.0)
    still.note(event("confirm_planned"), 0.0)
    for seed in (1, 2):
        still.note(event("confirm_started", 4, seed=seed), 0.0)
    still.note({**epoch(4, 1.0), "event": "confirm_epoch", "seed": 1}, 12.0)
    still.note(event("confirm_ended", 4, seed=1), 13.0)
    assert still.limit_s == 30.0
    assert still.too_long(43.0).endswith("trial 4 was running")
    still.note(event("confirm_ended", 4, seed=2), 43.0)
    assert still.limit_s == 600.0 + 40 * 12.0
