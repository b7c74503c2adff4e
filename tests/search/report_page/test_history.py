"""The best so far, against a plain count."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.report_page.cost import saved_by_asha, trial_seconds
from search.report_page.curves import MOST_CURVES, MOST_POINTS, thinned
from search.report_page.history import improvements, moments
from search.results import TrialRecord, load_search
from tests.many_trials import trial, write_trials


def epoch(time, number, best, best_epoch=1):
    metrics = {"best/objective": best, "best/epoch": best_epoch}
    return {"event": "epoch", "time": time, "trial": number, "epoch": 1, "metrics": metrics}


def test_the_time_between_attempts_does_not_count():
    events = [
        {"event": "search_started", "time": 100.0},
        epoch(110.0, 0, 0.5),
        {"event": "search_ended", "time": 120.0, "status": "interrupted"},
        {"event": "search_started", "time": 5000.0},
        epoch(5007.0, 1, 0.6),
    ]
    found = moments(events)
    assert [(m.elapsed_s, m.epochs, m.trial) for m in found] == [(10.0, 1, 0), (27.0, 2, 1)]


def test_an_epoch_without_a_score_is_no_moment():
    assert moments([epoch(1.0, 0, 0.0, best_epoch=0)]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_improvements_are_the_running_maximum(scores):
    seen = moments(epoch(float(n), n, score) for n, score in enumerate(scores))
    best = improvements(seen)
    assert best[0].best == scores[0]
    assert best[-1].best == max(scores)
    for n in range(len(scores)):
        so_far = [m.best for m in best if m.epochs <= n + 1]
        assert so_far[-1] == max(scores[: n + 1])
    assert all(a.best < b.best for a, b in itertools.pairwise(best))


def test_what_asha_saved(tmp_path):
    by_asha = {"status": "stopped", "reason": "below the top third at epoch 1"}
    trials = [
        trial([0.5] * 4, learning_rate=1e-4, gamma=2.0),
        trial([0.5], **by_asha, learning_rate=1e-4, gamma=1.0),
        trial([0.5] * 2, **by_asha, learning_rate=1e-4, gamma=1.5),
        trial([0.5], status="stopped", reason="on request", learning_rate=1e-4, gamma=1.6),
        trial([0.5], status=None, learning_rate=1e-4, gamma=1.7),
    ]
    record = load_search(write_trials(tmp_path / "mine", trials, ended=""))
    assert saved_by_asha(record) == (3 + 2, 4 * 4)
    # an event every ten seconds: start, epochs, end
    assert trial_seconds(record, now=0.0) == pytest.approx(50 + 20 + 30 + 20)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=400))
def test_thinning_keeps_the_best_and_bounds_the_points(lengths):
    trials = [
        TrialRecord(
            number=number,
            params={},
            status="completed",
            started=0.0,
            epochs=({"best/objective": (number * 37 % 401) / 401},) * length,
        )
        for number, length in enumerate(lengths)
    ]
    shown, every = thinned(trials)
    assert len(shown) == min(len(trials), MOST_CURVES)
    assert len({t.number for t in shown}) == len(shown)
    assert sum(len(t.epochs) for t in shown) / every <= MOST_POINTS
    ranked = sorted(trials, key=lambda t: -t.best_objective)
    assert {t.number for t in ranked[: MOST_CURVES // 2]} <= {t.number for t in shown}
    if len(trials) <= MOST_CURVES and sum(lengths) <= MOST_POINTS:
        assert every == 1
