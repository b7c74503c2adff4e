"""Which stopped trials were still rising, by curves whose shape is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.results import load_search
from search.rising import NOISE, catching_up, rising_trials, still_rising, trials_catching_up
from search.summary import summarize
from search.tables import score_notes
from tests.search_folder import BEST_TRIAL, append_events, objective, write_search_folder

steps = st.floats(0.0, 0.1)


@pytest.mark.parametrize(
    ("scores", "rising"),
    [
        ([0.2, 0.4], True),
        ([0.1, 0.5, 0.7], True),
        ([0.0, 0.0, 0.0, 0.2], True),  # a slow starter
        ([0.0, 0.0, 0.0], False),
        ([0.7, 0.8, 0.83, 0.831, 0.832], False),  # less than another seed would change
        ([0.5, 0.8, 0.79, 0.81], False),  # 0.01 in two epochs, and it has fallen by as much
        ([0.5, 0.8, 0.79, 0.83], True),
        ([0.8, 0.7], False),
        ([0.9], False),
        ([], False),
    ],
)
def test_curves_of_a_known_shape(scores, rising):
    assert still_rising(scores) is rising


@given(st.lists(steps, min_size=2, max_size=20), st.floats(2 * NOISE, 0.1))
def test_a_steady_climb_rises_and_a_plateau_after_it_does_not(climb, step):
    rising = np.cumsum([0.1, *climb, step, step]).tolist()
    assert still_rising(rising)
    assert not still_rising([*rising, rising[-1], rising[-1]])


@given(st.lists(st.floats(0, 1), min_size=3, max_size=20), st.floats(-0.5, 0.5))
def test_only_differences_count(scores, shift):
    moved = [score + shift for score in scores]
    gain = scores[-1] - scores[-3]
    fall = max(before - after for before, after in itertools.pairwise(scores))
    if abs(gain - max(NOISE, fall)) > 1e-9:  # else the shift may round it over the limit
        assert still_rising(moved) == still_rising(scores)


@given(st.floats(0.1, 0.9), st.floats(0.001, 0.3), st.floats(0.0, 0.05), st.floats(0.0, 0.05))
def test_straight_lines_meet_when_they_meet(low, gap, pace, best_pace):
    """The trial reaches the best after gap / (pace - best_pace) epochs, if it is the faster."""
    trial = [low + pace * epoch for epoch in range(3)]
    best = [low + gap + 2 * pace + best_pace * (epoch - 2) for epoch in range(5)]
    meets = gap / (pace - best_pace) if pace > best_pace else np.inf
    if abs(meets - 2) > 1e-6 and abs(2 * pace - NOISE) > 1e-9:
        assert catching_up(trial, best) == (2 * pace > NOISE and meets < 2)


def test_who_has_no_longer_best_to_compare_with_is_not_catching_up():
    assert catching_up([0.5, 0.7], [0.7, 0.72, 0.73])
    assert not catching_up([0.5, 0.7], [0.7, 0.72])
    assert not catching_up([0.7, 0.701], [0.7, 0.7, 0.7])  # not rising


def test_they_are_named_in_the_summary_and_under_the_scores(tmp_path):
    folder = write_search_folder(tmp_path / "s")
    record = load_search(folder)  # its one stopped trial has one epoch
    assert (rising_trials(record), trials_catching_up(record)) == ([], [])
    assert not any("still rising" in note for note in score_notes(record, summarize(record)))

    def add(number, scores, status="stopped"):
        rows = [{"event": "trial_started", "trial": number, "params": {}}]
        for epoch, score in enumerate(scores, 1):
            metrics = {"val/objective": score, "best/objective": max(scores[:epoch])}
            rows.append({"event": "epoch", "trial": number, "epoch": epoch, "metrics": metrics})
        rows.append({"event": "trial_ended", "trial": number, "status": status, "reason": ""})
        append_events(folder, [{**row, "time": 2e9} for row in rows])

    def note():
        record = load_search(folder)
        [found] = [note for note in score_notes(record, summarize(record)) if "rising" in note]
        return found

    first, second = (objective(BEST_TRIAL, epoch) for epoch in (1, 2))
    add(10, [0.2, 0.3])  # rising, but far below
    assert note() == (
        "still rising when ASHA stopped them: 1 of 2 stopped trials; none was catching up with the "
        "best"
    )
    for number in range(11, 21):
        add(number, [first - 0.1, second - 0.01])
    add(21, [0.4, 0.3])
    add(22, [first - 0.1, second - 0.01], status="diverged")  # not ASHA's doing
    summary = summarize(load_search(folder))
    assert summary["rising_at_stop"] == list(range(10, 21))
    assert summary["catching_up_at_stop"] == list(range(11, 21))
    assert note() == (
        "still rising when ASHA stopped them: 11 of 13 stopped trials; catching up with the best: "
        "11, 12, 13, 14, 15, 16, 17, 18 and 2 more (a longer --grace-period would tell)"
    )
