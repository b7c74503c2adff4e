"""Which differences are noise: against published values, scipy and the pairs one by one."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from search.compare.pairs import Model, compare_all, holm, with_seeds
from tests.compared_searches import predictions
from trainable.bootstrap import all_paired_intervals, paired_intervals
from trainable.errors import UsageError

P_VALUES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12)


def test_holm_as_r_has_it():
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") and p.adjust(c(0.2, 0.6), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2, 0.6]) == pytest.approx([0.4, 0.6])


@given(P_VALUES)
def test_holm_lies_between_the_values_and_bonferroni_and_keeps_their_order(values):
    adjusted = np.array(holm(values))
    p = np.array(values)
    assert (adjusted >= p - 1e-12).all()
    assert (adjusted <= np.minimum(1.0, len(p) * p) + 1e-12).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


@given(P_VALUES, st.floats(0.01, 0.2))
def test_holm_rejects_what_the_step_down_procedure_rejects(values, level):
    rejected = set()
    for step, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        if values[place] * (len(values) - step) > level:
            break
        rejected.add(place)
    assert {place for place, p in enumerate(holm(values)) if p <= level} == rejected


def test_seeds_alone_are_welchs_test():
    first, second = [0.81, 0.83, 0.80, 0.86], [0.78, 0.79, 0.80]
    difference = 0.025
    found = with_seeds(
        {"difference": difference, "low": difference, "high": difference}, first, second
    )
    # one seed of each is on test: its own variance, not that of a mean
    stds = [statistics.stdev(scores) * len(scores) ** 0.5 for scores in (first, second)]
    truth = stats.ttest_ind_from_stats(difference, stds[0], 4, 0.0, stds[1], 3, equal_var=False)
    assert found["p"] == pytest.approx(truth.pvalue)
    assert (found["low"] + found["high"]) / 2 == pytest.approx(difference)
    at_the_end = {**found, "difference": found["high"] - found["difference"]}
    edge = with_seeds(
        {**at_the_end, "low": at_the_end["difference"], "high": at_the_end["difference"]},
        first,
        second,
    )
    assert edge["p"] == pytest.approx(0.05)


def test_documents_alone_stay_what_they_are():
    found = with_seeds({"difference": 0.02, "low": 0.01, "high": 0.03}, [], [])
    assert (found["low"], found["high"]) == pytest.approx((0.01, 0.03))
    assert found["p"] == pytest.approx(2 * stats.norm.sf(0.02 / (0.01 / stats.norm.ppf(0.975))))
    nothing = with_seeds({"difference": 0.0, "low": 0.0, "high": 0.0}, [0.8, 0.8], [0.8, 0.8])
    assert nothing["p"] == 1.0


def test_all_pairs_at_once_are_the_pairs_one_by_one():
    models = [predictions(miss, seed=seed) for seed, miss in enumerate((0.1, 0.2, 0.5))]
    together = all_paired_intervals(models, resamples=200)
    assert set(together) == {(0, 1), (0, 2), (1, 2)}
    for (i, j), found in together.items():
        assert found == paired_intervals(models[i], models[j], resamples=200)


def test_a_clear_difference_and_one_that_is_noise():
    labels = {"good": 0.1, "like": 0.11, "bad": 0.6}
    models = [
        Model(label=label, predictions=predictions(miss, seed=seed))
        for seed, (label, miss) in enumerate(labels.items())
    ]
    among, beside = compare_all(models[:2], against=models[2], resamples=2000)
    [pair] = among
    assert (pair.first, pair.second) == ("good", "like")
    assert pair.total["micro_f1"].noise
    assert not pair.total["micro_f1"].seeds
    assert [(p.first, p.second, p.total["micro_f1"].noise) for p in beside] == [
        ("good", "bad", False),
        ("like", "bad", False),
    ]
    assert beside[0].total["micro_f1"].low > 0
    assert set(pair.rows) == {"total", "head", "medium", "tail"}


def test_unsteady_seeds_turn_a_difference_into_noise():
    steady = {"micro_f1": (0.80, 0.801, 0.799), "macro_f1": (0.60, 0.601, 0.599)}
    wild = {"micro_f1": (0.60, 0.80, 0.95), "macro_f1": (0.30, 0.60, 0.80)}
    verdicts = {}
    for name, seeds in {"steady": steady, "wild": wild}.items():
        models = [
            Model(label="good", predictions=predictions(0.1, seed=1), seeds=seeds),
            Model(label="bad", predictions=predictions(0.4, seed=2), seeds=seeds),
        ]
        [pair], _ = compare_all(models, resamples=1000)
        assert pair.total["micro_f1"].seeds
        verdicts[name] = pair.total["micro_f1"].noise
    assert verdicts == {"steady": False, "wild": True}


def test_other_documents_do_not_compare():
    models = [
        Model(label="a", predictions=predictions(0.1)),
        Model(label="b", predictions=predictions(0.1, num_docs=200)),
    ]
    with pytest.raises(UsageError):
        compare_all(models, resamples=10)
