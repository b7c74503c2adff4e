"""What the live view knows: trials, their ends, the time that is left."""

from collections import Counter
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.progress import render
from search.progress_state import ProgressState, apply, eta_s
from tests.progress_events import begun, ended, epoch, fold, progress_spec, started, text_of


@pytest.fixture
def spec(tmp_path):
    return progress_spec(tmp_path)


def told(state):
    """All that a state tells, but for what depends on the time of asking."""
    return {
        "trials": dict(state.trials),
        "running": state.running,
        "ended": state.ended,
        "num_ended": state.num_ended,
        "best": state.best,
        "counts": state.counts,
        "epoch_s": pytest.approx(state.epoch_s) if state.epoch_s else state.epoch_s,
        "lasted_s": pytest.approx(state.lasted_s) if state.lasted_s else state.lasted_s,
        "attempt": (state.attempt_started, state.clock_started, state.status, state.reason),
    }


def test_the_state_follows_the_events(spec):
    state = fold(
        spec,
        begun(),
        started(0, 1001),
        started(1, 1002),
        epoch(0, 1, 1011, 0.6),
        epoch(0, 2, 1021, 0.5, best=(0.6, 1)),
        epoch(1, 1, 1012, 0.7),
        ended(1, 1013, "stopped", "below the top half at epoch 1"),
    )
    assert [trial.number for trial in state.running] == [0]
    assert state.trials[0].curve == (0.6, 0.5)
    assert (state.trials[0].best, state.trials[0].best_macro) == (0.6, 0.3)
    assert state.best.number == 1
    assert state.counts == {"running": 1, "stopped": 1}
    assert state.elapsed_s(1030.0) == 30.0


def test_a_restarted_trial_begins_anew_and_strange_events_change_nothing(spec):
    events = (begun(), started(0, 1001), epoch(0, 1, 1011, 0.6))
    state = fold(spec, *events, {"event": "trial_restarted", "trial": 0, "reason": "died"})
    assert (state.trials[0].epoch, state.trials[0].curve, state.best) == (0, (), None)
    state = fold(spec, *events)
    before = told(state)
    apply(state, {"event": "epoch", "trial": 9, "epoch": 1, "metrics": {}})
    apply(state, {"event": "of the future"})
    assert told(state) == before


NUMBERS = st.integers(0, 5)

EVENTS = st.one_of(
    st.just(("search_started",)),
    st.tuples(st.just("trial_started"), NUMBERS),
    st.tuples(st.just("epoch"), NUMBERS, st.integers(1, 5), st.sampled_from([0.1, 0.2, 0.5, None])),
    st.tuples(st.just("trial_restarted"), NUMBERS),
    st.tuples(st.just("trial_ended"), NUMBERS, st.sampled_from(["completed", "stopped", "failed"])),
)


def as_event(at, kind, number=0, *rest):
    if kind == "search_started":
        return begun(at)
    if kind == "trial_started":
        return started(number, at)
    if kind == "epoch":
        n, value = rest
        # without a value: an epoch that could not be scored has no best one
        told = epoch(number, n, at, value or 0.0, epoch_s=float(n))
        return told if value else {**told, "metrics": {"time/epoch_s": float(n)}}
    if kind == "trial_restarted":
        return {"event": kind, "trial": number, "reason": "died", "time": at}
    return ended(number, at, rest[0], "why")


@given(st.lists(EVENTS, max_size=40))
def test_what_is_kept_up_to_date_is_what_the_trials_say(steps):
    """Against the plain definitions, over all trials, after every event."""
    state = ProgressState(spec=None)
    for at, step in enumerate(steps, 1000):
        apply(state, as_event(float(at), *step))
        trials = [state.trials[number] for number in sorted(state.trials)]
        over = [t for t in trials if t.status not in ("running", "interrupted")]
        assert state.running == [t for t in trials if t.status == "running"]
        assert sorted(state.ended, key=lambda t: t.number) == over
        assert state.num_ended == len(over)
        assert state.counts == Counter(t.status for t in trials)
        scored = [t for t in trials if t.metrics.get("best/epoch")]
        best = max(scored, key=lambda t: (t.metrics["best/objective"], -t.number), default=None)
        assert state.best == best
        timed = [t.epoch_s for t in trials if t.epoch_s is not None]
        assert (state.epoch_s is None) == (timed == [])
        assert timed == [] or state.epoch_s == pytest.approx(mean(timed))
        lasted = [t.ended - t.started for t in over if t.ended is not None and t.epoch > 0]
        assert (state.lasted_s is None) == (lasted == [])
        assert lasted == [] or state.lasted_s == pytest.approx(mean(lasted))


def test_the_trials_that_ended_stand_in_the_order_of_their_ends(spec):
    events = [begun(), *(started(n, 1001 + n) for n in range(4))]
    state = fold(spec, *events, *(ended(n, 1010 + at) for at, n in enumerate((2, 0, 3))))
    assert [trial.number for trial in state.ended] == [2, 0, 3]


def test_a_trial_that_ended_keeps_what_the_table_shows_of_it(spec):
    metrics = epoch(0, 1, 1010)["metrics"] | {f"val/head{n}/micro_f1": 0.5 for n in range(30)}
    event = epoch(0, 1, 1010) | {"metrics": metrics}
    running = text_of(render(fold(spec, begun(), started(0, 1001), event), 160, 1020.0), 160)
    state = fold(spec, begun(), started(0, 1001), event, ended(0, 1020))
    assert len(state.trials[0].metrics) < 10
    over = text_of(render(state, 160, 1020.0), 160)
    row, before = (next(x for x in t.splitlines() if "*0" in x) for t in (over, running))
    assert row.split() == before.replace("running", "completed").split()


def test_a_second_attempt_finds_what_was_running_interrupted(spec):
    state = fold(spec, begun(), started(0, 1001), epoch(0, 1, 1011), begun(5000.0, attempt=2))
    assert state.trials[0].status == "interrupted"
    assert state.running == []
    assert state.elapsed_s(5010.0) == 10.0


def test_eta_is_unknown_before_the_first_epoch(spec):
    assert eta_s(fold(spec), 1000.0) is None
    assert eta_s(fold(spec, begun(), started(0, 1001)), 1005.0) is None


def test_eta_before_an_end_counts_all_epochs(spec):
    state = fold(spec, begun(), started(0, 1000), started(1, 1000), epoch(0, 1, 1010))
    # trial 0 has 4 epochs left; trial 1, of which nothing is known, its 50 s less 10; 2 to come
    assert eta_s(state, 1010.0) == pytest.approx((40 + 40 + 2 * 50) / 2)


def test_eta_learns_from_the_trials_that_ended(spec):
    events = (
        *(begun(), started(0, 1000), started(1, 1000)),
        *(epoch(0, 1, 1010), epoch(1, 1, 1010), ended(1, 1020, "stopped", "")),
    )
    state = fold(spec, *events)
    # trials last 20 s: trial 0 is at its average, so its 4 epochs count; 2 to come
    assert eta_s(state, 1020.0) == pytest.approx((40 + 2 * 20) / 2)
    # no lane can be quicker than its own trial
    alone = fold(spec.replace(trials=2), *events)
    assert eta_s(alone, 1020.0) == pytest.approx(40)


def test_eta_keeps_to_the_time_budget(spec):
    # Ray took 500 s to start: that is not the budget's
    begun_early = begun() | {"time": 500.0}
    state = fold(spec.replace(time_budget_s=30.0), begun_early, started(0, 1000), epoch(0, 1, 1010))
    assert eta_s(state, 1010.0) == 20.0
    assert eta_s(state, 1100.0) == 0.0
