"""Who is confirmed, on which seeds candidates are compared, and who wins."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.confirmation import read_confirmation, seeds_to_confirm
from search.winner import candidates, choose_winner
from tests.confirmed_search import SCORES, plan, run, timed, whole
from tests.search_folder import events as search_events
from trainable.config import BEST_OBJECTIVE


def started(trial, rate=None, **more):
    params = {"learning_rate": trial if rate is None else rate}
    return {"event": "trial_started", "trial": trial, "params": params, **more}


def scored(trial, best):
    metrics = {BEST_OBJECTIVE: best, "best/epoch": 1, "best/threshold": 0.5}
    return {"event": "epoch", "trial": trial, "epoch": 1, "metrics": metrics}


def test_the_best_different_configurations_and_the_papers_are_candidates():
    events = [
        *map(started, range(4)),
        started(4, rate=2, resumes=2),
        *(scored(trial, 0.1 * trial) for trial in range(5)),
    ]
    assert candidates(events, 2) == ((4, 3, 0), 0)  # 2 is 4 again
    assert candidates(events, 3) == ((4, 3, 1, 0), 0)
    assert candidates(events, 9) == ((4, 3, 1, 0), 0)


def test_the_papers_values_are_confirmed_whatever_became_of_trial_0():
    failed = [started(0), started(1), scored(1, 0.5)]
    assert candidates(failed, 1) == ((1, 0), 0)
    rerun = [started(1), scored(1, 0.5), started(2, resumes=0), scored(2, 0.4)]
    assert candidates(rerun, 1) == ((1, 2), 2)
    best = [started(0), started(1), scored(0, 0.6), scored(1, 0.5)]
    assert candidates(best, 1) == ((0,), 0)
    assert candidates([started(1), scored(1, 0.5)], 2) == ((1,), None)
    assert candidates([started(0)], 2) == ((), None)


def test_the_seeds_are_none_of_the_search():
    assert seeds_to_confirm(7, 4) == (8, 9, 10, 11)


def test_the_highest_mean_wins_with_the_model_of_the_first_seed():
    found = read_confirmation(whole())
    assert found.compared == (1, 2, 3)
    assert found.mean(2) == statistics.fmean([0.80, 0.83, 0.82])
    assert found.spread(2) == pytest.approx(statistics.stdev([0.80, 0.83, 0.82]))
    assert found.ranking == (2, 0)
    assert (found.winner.trial, found.winner.seed, found.winner.objective) == (2, 1, 0.80)
    compared = found.compare(2, 0)
    assert (compared.n, compared.mean) == (3, pytest.approx((0.01 + 0.05 + 0.02) / 3))
    winner = choose_winner([*search_events(), *whole()])
    assert (winner.number, winner.seed, winner.objective) == (2, 1, 0.80)
    assert (winner.epoch, winner.threshold, winner.params["gamma"]) == (4, 0.3, 2.5)


def test_ties_go_to_the_lower_number():
    scores = {(trial, seed): 0.5 for seed in (1, 2) for trial in (2, 0)}
    found = read_confirmation(whole(scores, seeds=(1, 2)))
    assert found.ranking == (0, 2)


def test_only_seeds_that_all_candidates_have_count():
    scores = {pair: best for pair, best in SCORES.items() if pair != (0, 3)}
    found = read_confirmation(whole(scores))
    assert found.compared == (1, 2)
    assert found.left == ((0, 3),)
    assert found.mean(2) == pytest.approx((0.80 + 0.83) / 2)
    assert found.decided
    one = {pair: best for pair, best in SCORES.items() if pair[1] == 1}
    found = read_confirmation(whole(one))
    assert (found.compared, found.ranking, found.winner) == ((1,), (), None)
    assert not found.decided
    # undecided: the search's own winner stands
    assert choose_winner([*search_events(), *whole(one)]).seed is None


@pytest.mark.parametrize("status", ["diverged", "out_of_memory", "failed"])
def test_a_candidate_that_broke_down_once_is_out(status):
    rows = [*whole(), *run(2, 2, 0.99, epochs=2, status=status)]
    found = read_confirmation(rows)
    assert [run.seed for run in found.broken(2)] == [2]
    assert found.scores(2) == {1: 0.80, 3: 0.82}
    assert found.ranking == (0,)
    assert found.compare(0, 2).n == 2  # still said, on the seeds that both have
    rows += run(0, 1, 0.5, epochs=1, status=status)
    found = read_confirmation(rows)
    assert (found.ranking, found.winner, found.decided) == ((), None, True)
    assert choose_winner([*search_events(), *rows]).seed is None


def test_what_was_interrupted_or_restarted_begins_anew():
    rows = [plan(), *run(2, 1, 0.7, status=None), *run(2, 1, 0.8, epochs=2, status=None)]
    found = read_confirmation(timed(rows))
    assert [row["epoch"] for row in found.runs[2, 1].epochs] == [1, 2]
    assert found.left == found.pairs
    restart = {"event": "confirm_restarted", "trial": 2, "seed": 1, "reason": "", "time": 1.0}
    assert read_confirmation(timed([*rows, restart])).runs[2, 1].objective == 0.0


def test_a_new_plan_keeps_the_runs_that_it_asks_for_again():
    rows = [*whole(), *timed([plan(trials=(5, 2, 0), seeds=(1, 2))])]
    found = read_confirmation(rows)
    assert found.left == ((5, 1), (5, 2))
    assert found.compared == ()
    assert read_confirmation([*rows, *timed([plan(trials=(), seeds=(), paper=None)])]) is None
    again = read_confirmation([*rows, *timed([plan()])])
    assert again == read_confirmation(whole())


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(1, 4)),
        st.tuples(
            st.floats(0.1, 1.0), st.sampled_from(["completed", "completed", "diverged", None])
        ),
    )
)
def test_the_choice_is_fair(runs):
    """Whatever ended how: the winner was trained with all compared seeds, and no rival beats it."""
    rows = [plan(trials=(0, 1, 2, 3), seeds=(1, 2, 3, 4))]
    for (trial, seed), (best, status) in runs.items():
        rows += run(trial, seed, best, epochs=1, status=status)
    found = read_confirmation(timed(rows))
    ends = {pair: status for pair, (_, status) in runs.items()}
    compared = [seed for seed in (1, 2, 3, 4) if all(ends.get((t, seed)) for t in range(4))]
    assert list(found.compared) == compared
    means = {
        trial: statistics.fmean(runs[trial, seed][0] for seed in compared)
        for trial in range(4)
        if len(compared) >= 2 and all(ends[trial, seed] == "completed" for seed in compared)
    }
    assert sorted(found.ranking) == sorted(means)
    if means:
        winner = found.winner
        assert means[winner.trial] == max(means.values())
        assert winner.trial == min(t for t, mean in means.items() if mean == max(means.values()))
        assert winner.seed == compared[0]
    else:
        assert found.winner is None
