"""Thresholds of each label's own: by hand, by trying all, and where they must not move."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from trainable.own_thresholds import FOLDS, SMOOTHINGS, smoothed, tune_own_thresholds
from trainable.thresholds import THRESHOLDS_K, ThresholdCounts


def counts_of(probs, targets):
    counts = ThresholdCounts(probs.shape[1])
    counts.update(torch.from_numpy(probs), torch.from_numpy(targets))
    return counts.counts()


def shifted(num_docs, seed=0):
    """Label 0 is best cut at 0.5, label 1 at about 0.2; label 2 has no positive document."""
    rng = np.random.default_rng(seed)
    targets = rng.random((num_docs, 3)) < [0.5, 0.3, 0.0]
    middle = np.array([0.5, 0.2, 0.5])
    noise = rng.normal(0, 0.05, targets.shape)
    probs = np.clip(middle + np.where(targets, 0.1, -0.1) + noise, 0.001, 0.999)
    return probs.astype(np.float32), targets


def tuned(probs, targets, *, chunk=17, shared=0.5):
    batches = (
        (torch.from_numpy(probs[n : n + chunk]), torch.from_numpy(targets[n : n + chunk]))
        for n in range(0, len(probs), chunk)
    )
    return tune_own_thresholds(batches, num_labels=probs.shape[1], shared=shared)


def test_without_smoothing_each_is_the_best_of_its_label():
    probs, targets = shifted(200)
    got = smoothed(counts_of(probs, targets), 0.5, 1e-9)
    for label in (0, 1):
        tried = [f1_score(targets[:, label], probs[:, label] >= t) for t in THRESHOLDS_K]
        assert f1_score(targets[:, label], probs[:, label] >= got[label].item()) == max(tried)
    assert got[2] == pytest.approx(0.5)


def test_smoothing_by_hand():
    probs = np.array([[0.25], [0.15], [0.24]], dtype=np.float32)
    targets = np.array([[True], [False], [True]])  # best from 0.16 to 0.24: the nearest is 0.24
    counts = counts_of(probs, targets)
    assert smoothed(counts, 0.5, 1e-9).item() == pytest.approx(0.24)
    assert smoothed(counts, 0.5, 2.0).item() == pytest.approx(0.5 + 2 / 4 * (0.24 - 0.5))
    assert smoothed(counts, 0.5, 6.0).item() == pytest.approx(0.5 + 2 / 8 * (0.24 - 0.5))
    assert smoothed(counts, 0.5, math.inf).item() == 0.5


def test_a_label_that_is_cut_elsewhere_gets_its_own():
    found = tuned(*shifted(400))
    assert found.smoothing < math.inf
    assert found.values_L[1].item() == pytest.approx(0.2, abs=0.06)
    assert found.values_L[0].item() == pytest.approx(0.5, abs=0.05)
    assert found.values_L[2].item() == 0.5  # nothing is known of it
    probs, targets = shifted(2_000, seed=1)
    own = f1_score(targets, probs >= found.values_L.numpy(), average="macro", zero_division=0)
    one = f1_score(targets, probs >= 0.5, average="macro", zero_division=0)
    assert own > one + 0.1


def test_what_is_held_out_is_scored_by_hand():
    probs, targets = shifted(100)
    found = tuned(probs, targets)
    assert tuple(found.held_out) == SMOOTHINGS
    fold = np.arange(100) % FOLDS
    for k in (math.inf, 30.0, 1.0):
        preds = np.zeros_like(targets)
        for number in range(FOLDS):
            rest = fold != number
            limits = smoothed(counts_of(probs[rest], targets[rest]), 0.5, k).double().numpy()
            grid = np.float32(np.round(limits * 100) / 100)
            preds[~rest] = probs[~rest] >= grid
        want = f1_score(targets, preds, average="macro", zero_division=0)
        assert found.held_out[k] == pytest.approx(want, abs=1e-9)
    assert tuned(probs, targets, chunk=1).values_L.tolist() == found.values_L.tolist()


def test_where_own_ones_do_not_help_none_moves():
    """Every label is cut best at the shared threshold: what each finds by itself is noise."""
    rng = np.random.default_rng(3)
    targets = rng.random((60, 4)) < 0.1
    probs = np.where(targets, 0.9, 0.1).astype(np.float32)
    found = tuned(probs, targets)
    assert found.smoothing == math.inf
    assert found.values_L.tolist() == [0.5] * 4


def test_no_documents():
    found = tuned(np.zeros((0, 2), dtype=np.float32), np.zeros((0, 2), dtype=bool), shared=0.3)
    assert found.values_L.tolist() == pytest.approx([0.3, 0.3])
