"""The statistics of confirmation, against scipy.stats."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from search.paired import compare, spread

scores = st.floats(0.0, 1.0).map(lambda x: round(x, 4))
pairs = st.lists(st.tuples(scores, scores), min_size=2, max_size=8)


@given(pairs)
def test_the_t_test_is_scipys(rows):
    first, second = (np.array(column) for column in zip(*rows, strict=True))
    found = compare(first.tolist(), second.tolist())
    assert found.mean == pytest.approx((first - second).mean(), abs=1e-12)
    if np.ptp(first - second) < 1e-9:
        assert found.p_t is None
        assert found.low == found.high == found.mean
        return
    wanted = stats.ttest_rel(first, second)
    assert found.p_t == pytest.approx(wanted.pvalue, rel=1e-9, abs=1e-12)
    low, high = wanted.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    # the interval and the p-value say the same
    if abs(found.p_t - 0.05) > 1e-9:
        assert found.within_noise == (found.p_t > 0.05)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([0.90, 0.92, 0.91], [0.88, 0.89, 0.905]),
        ([0.90, 0.85], [0.91, 0.80]),
        ([0.9, 0.8, 0.7, 0.95, 0.85], [0.91, 0.79, 0.7, 0.9, 0.84]),
        ([0.52, 0.61, 0.55, 0.58, 0.63, 0.5], [0.5, 0.6, 0.52, 0.53, 0.6, 0.49]),
    ],
)
def test_the_sign_flip_test_is_scipys_exact_permutation_test(first, second):
    wanted = stats.permutation_test(
        (np.array(first), np.array(second)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert compare(first, second).p_flip == pytest.approx(wanted.pvalue, abs=1e-12)


@given(pairs)
def test_no_sign_flip_test_goes_below_its_least_p(rows):
    first, second = (list(column) for column in zip(*rows, strict=True))
    found = compare(first, second)
    assert found.smallest_p_flip <= found.p_flip <= 1.0
    assert found.smallest_p_flip == 2 / 2 ** len(rows)
    swapped = compare(second, first)
    assert (swapped.mean, swapped.p_flip) == (pytest.approx(-found.mean), found.p_flip)


def test_many_seeds_have_no_exact_test():
    first = [0.5 + 0.01 * k for k in range(17)]
    found = compare(first, [0.5] * 17)
    assert found.p_flip is None
    assert found.p_t < 1e-4


def test_equal_configurations_are_within_noise_and_equal_gains_are_not():
    same = compare([0.5, 0.6], [0.5, 0.6])
    assert same.within_noise
    assert (same.mean, same.p_t, same.p_flip) == (0.0, None, 1.0)
    better = compare([0.6, 0.7, 0.8], [0.5, 0.6, 0.7])
    assert not better.within_noise
    assert better.p_flip == 0.25


@given(st.lists(scores, min_size=2, max_size=9))
def test_the_spread_is_numpys(values):
    assert spread(values) == pytest.approx(float(np.std(values, ddof=1)), abs=1e-12)
    assert spread(values[:1]) is None
    assert math.isfinite(spread(values))
