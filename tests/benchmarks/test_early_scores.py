"""Rank correlations against scipy's, and what they mean at the edges."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from benchmarks.early_scores import early_scores, spearman
from tests.benchmarks.test_curve_table import curve

values = st.one_of(st.sampled_from([0.0, 0.5]), st.floats(0, 1))


@given(st.lists(st.tuples(values, values), min_size=4, max_size=30))
def test_spearman_is_scipys(pairs):
    one, other = zip(*pairs, strict=True)
    ours = spearman(one, other)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(spearmanr(one, other).statistic, abs=1e-9)


def test_few_curves_say_nothing():
    assert math.isnan(spearman([1, 2, 3], [1, 2, 3]))


def test_early_scores_of_curves_that_cross():
    curves = [
        curve(0, 0.0, 0.5, 0.9),  # the winner begins at zero
        curve(1, 0.4, 0.6, 0.7),
        curve(2, 0.3, 0.4, 0.6),
        curve(3, 0.0, 0.1, 0.2),
        curve(4, 0.2, ended="diverged"),
    ]
    first, second, third = early_scores(curves, [1, 2, 3])
    assert (first.epoch, first.winner_rank, first.zeros) == (1, 5, 2)
    assert (second.winner_rank, second.zeros) == (2, 0)
    assert (third.winner_rank, third.spearman) == (1, pytest.approx(1.0))
    assert first.spearman < second.spearman
