"""Micro ROC AUC in bins against scikit-learn's exact one, and the error that it owns up to."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from trainable.roc import MicroRocAuc


def found(probs, targets, *, slices=1):
    roc = MicroRocAuc()
    for some, true in zip(
        np.array_split(probs, slices), np.array_split(targets, slices), strict=True
    ):
        roc.update(torch.from_numpy(some), torch.from_numpy(true))
    return roc.result()


def scores(seed=0, docs=400, labels=25):
    """As a trained model gives them: most near 0, positives higher."""
    rng = np.random.default_rng(seed)
    targets = rng.random((docs, labels)) < 0.05
    logits = rng.normal(-5, 2, targets.shape) + 4 * targets
    return (1 / (1 + np.exp(-logits))).astype(np.float32), targets


def test_within_a_millionth_of_scikit_learn():
    probs, targets = scores()
    got = found(probs, targets)
    assert got.auc == pytest.approx(roc_auc_score(targets, probs, average="micro"), abs=1e-6)
    assert got.error < 2e-5
    assert found(probs, targets, slices=7) == got


def test_ties_count_half():
    probs = np.full((4, 2), 0.3, dtype=np.float32)
    targets = np.array([[True, False]] * 4)
    assert found(probs, targets) == (0.5, 0.5)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_never_farther_than_it_says(data):
    size = data.draw(st.integers(2, 30))
    floats = st.floats(0, 1, width=32)
    close = st.integers(0, 3).map(lambda n: np.nextafter(np.float32(0.2), np.float32(1)) * (1 + n))
    probs = data.draw(
        st.lists(floats | st.just(-0.0) | close.map(float), min_size=size, max_size=size)
    )
    probs = np.clip(np.array(probs, dtype=np.float32), 0, 1)
    targets = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    got = found(probs[:, None], targets[:, None])
    if targets.all() or not targets.any():
        assert got is None
        return
    assert abs(got.auc - roc_auc_score(targets, probs)) <= got.error + 1e-12


def test_a_score_that_is_no_number_is_the_lowest():
    probs = np.array([[np.nan], [0.1], [0.9]], dtype=np.float32)
    assert found(probs, np.array([[True], [False], [False]])).auc == 0.0
