import itertools
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from search.pareto import pareto_front
from search.results import TrialRecord

NAMES = ("micro_f1", "macro_f1")


def record(scores, names=NAMES):
    trials = tuple(
        TrialRecord(
            number=number,
            params={},
            status="completed",
            started=0.0,
            epochs=(
                {
                    "epoch": 1,
                    "best/epoch": 1,
                    "best/objective": (first + second) / 2,
                    "best/micro_f1": first,
                    "best/macro_f1": second,
                },
            ),
        )
        for number, (first, second) in enumerate(scores)
    )
    return SimpleNamespace(trials=trials, spec=SimpleNamespace(pareto_scores=names))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_it_is_what_the_definition_says(pairs):
    scores = [(a / 5, b / 5) for a, b in pairs]

    def beaten(one):
        return any(
            all(x >= y for x, y in zip(scores[other], scores[one], strict=True))
            and scores[other] != scores[one]
            for other in range(len(scores))
        )

    first_of_equals = [n for n, pair in enumerate(scores) if pair not in scores[:n]]
    front = pareto_front(record(scores))
    assert sorted(trial.number for trial in front) == [n for n in first_of_equals if not beaten(n)]
    firsts = [scores[trial.number][0] for trial in front]
    assert all(a > b for a, b in itertools.pairwise(firsts))


def test_one_objective_has_no_front():
    assert pareto_front(record([(0.5, 0.5)], names=())) == ()


def test_a_trial_without_a_finished_epoch_is_not_on_it():
    made = record([(0.5, 0.5)])
    made.trials = (
        *made.trials,
        TrialRecord(number=7, params={}, status="failed", started=0.0, epochs=()),
    )
    assert [trial.number for trial in pareto_front(made)] == [0]
