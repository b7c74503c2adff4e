"""Threshold counts and metrics against scikit-learn, and their memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from trainable.metrics import split_metrics
from trainable.thresholds import (
    HALF,
    THRESHOLDS_K,
    Counts,
    ThresholdCounts,
    best_threshold,
    macro_f1_curve,
    micro_f1_curve,
)

ROOT = Path(__file__).resolve().parents[2]


def some_predictions(num_docs=120, num_labels=7, seed=0):
    """Probabilities of which many lie exactly on a threshold, and a label without positives."""
    rng = np.random.default_rng(seed)
    probs = rng.random((num_docs, num_labels)).astype(np.float32)
    grid = np.array(THRESHOLDS_K, dtype=np.float32)
    on_grid = rng.random(probs.shape) < 0.4
    probs[on_grid] = rng.choice(grid, size=on_grid.sum())
    targets = rng.random(probs.shape) < np.linspace(0.6, 0.02, num_labels)
    targets[:, -1] = False
    return probs, targets


def count(probs, targets, *, chunk=None):
    counter = ThresholdCounts(probs.shape[1])
    step = chunk or len(probs)
    for start in range(0, len(probs), step):
        counter.update(
            torch.from_numpy(probs[start : start + step]),
            torch.from_numpy(targets[start : start + step]),
        )
    return counter.counts()


def sklearn_f1(targets, probs, threshold, average, columns=slice(None)):
    return f1_score(
        targets[:, columns], probs[:, columns] >= threshold, average=average, zero_division=0
    )


def test_the_grid():
    assert len(THRESHOLDS_K) == 99
    assert [THRESHOLDS_K[0], THRESHOLDS_K[HALF], THRESHOLDS_K[-1]] == [0.01, 0.5, 0.99]
    assert all(f"{t:.2f}" == f"{(k + 1) / 100:.2f}" for k, t in enumerate(THRESHOLDS_K))


def test_curves_equal_scikit_learn_at_every_threshold():
    probs, targets = some_predictions()
    counts = count(probs, targets)
    micro = [sklearn_f1(targets, probs, t, "micro") for t in THRESHOLDS_K]
    macro = [sklearn_f1(targets, probs, t, "macro") for t in THRESHOLDS_K]
    assert micro_f1_curve(counts).tolist() == pytest.approx(micro, abs=1e-12)
    assert macro_f1_curve(counts).tolist() == pytest.approx(macro, abs=1e-12)


@pytest.mark.parametrize("threshold", [0.01, 0.29, 0.3, 0.5, 0.57, 0.7, 0.99])
def test_a_probability_at_the_threshold_is_predicted(threshold):
    at = np.float32(threshold)
    below = np.nextafter(at, np.float32(0))
    counts = count(np.array([[at], [below]]), np.array([[True], [True]]))
    k = THRESHOLDS_K.index(threshold)
    assert (counts.tp_KL[k].item(), counts.fn_KL[k].item()) == (1, 1)
    # the same comparison as a user's, in torch and in numpy
    assert (torch.tensor([at, below]) >= threshold).tolist() == [True, False]
    assert (np.array([at, below]) >= threshold).tolist() == [True, False]


def test_certain_probabilities_and_nan():
    probs = np.array([[0.0], [1.0], [np.nan]], dtype=np.float32)
    counts = count(probs, np.array([[True], [True], [True]]))
    assert counts.tp_KL.flatten().tolist() == [1] * 99
    assert counts.fn_KL.flatten().tolist() == [2] * 99
    counts = count(probs, np.array([[False], [False], [False]]))
    assert counts.fp_KL.flatten().tolist() == [1] * 99


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.booleans()), min_size=1
    ),
    chunk=st.integers(1, 7),
)
def test_counts_equal_a_loop(rows, chunk):
    probs = np.array([row[:2] for row in rows], dtype=np.float32)
    targets = np.array([[row[2], not row[2]] for row in rows])
    counts = count(probs, targets, chunk=chunk)
    for k, threshold in enumerate(THRESHOLDS_K):
        preds = probs >= np.float32(threshold)
        assert counts.tp_KL[k].tolist() == (preds & targets).sum(0).tolist()
        assert counts.fp_KL[k].tolist() == (preds & ~targets).sum(0).tolist()
        assert counts.fn_KL[k].tolist() == (~preds & targets).sum(0).tolist()


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"shape \[B, 3\], got \(2, 4\) and \(2, 4\)"):
        ThresholdCounts(3).update(torch.zeros(2, 4), torch.zeros(2, 4))


def hand_made(tp, fp, fn):
    """Counts of one label; thresholds that are not named predict nothing."""

    def column(values):
        counts = torch.zeros(99, 1, dtype=torch.int64)
        for k, value in values.items():
            counts[k] = value
        return counts

    return Counts(tp_KL=column(tp), fp_KL=column(fp), fn_KL=column(fn))


@pytest.mark.parametrize(
    ("tp", "expected"),
    [
        ({10: 3, 80: 4}, 80),  # the highest
        ({10: 4, 60: 4}, 60),  # of equals the nearest to 0.5
        ({HALF - 3: 4, HALF + 3: 4}, HALF - 3),  # of equally near the lower
        ({}, HALF),  # all are 0
    ],
)
def test_best_threshold(tp, expected):
    missed = {k: 4 - tp.get(k, 0) for k in range(99)}
    assert best_threshold(micro_f1_curve(hand_made(tp, {}, missed))) == expected


def test_split_metrics_equal_scikit_learn():
    probs, targets = some_predictions()
    groups = ("head", "head", "medium", "medium", "medium", "tail", "tail")
    k = THRESHOLDS_K.index(0.31)
    metrics = split_metrics("val", count(probs, targets), k, groups)
    expected = {"val/threshold": 0.31}
    for average in ("micro", "macro"):
        expected[f"val/{average}_f1"] = sklearn_f1(targets, probs, 0.31, average)
        expected[f"val/{average}_f1_at_0.5"] = sklearn_f1(targets, probs, 0.5, average)
        for group in ("head", "medium", "tail"):
            columns = [label for label, its in enumerate(groups) if its == group]
            expected[f"val/{group}/{average}_f1"] = sklearn_f1(
                targets, probs, 0.31, average, columns
            )
    assert metrics == pytest.approx(expected, abs=1e-12)


def test_a_group_without_labels_has_no_keys():
    probs, targets = some_predictions(num_labels=2)
    metrics = split_metrics("val", count(probs, targets), HALF, ("head", "tail"))
    assert "val/tail/micro_f1" in metrics
    assert not [name for name in metrics if "medium" in name]


def test_no_documents_score_nothing():
    counts = ThresholdCounts(2).counts()
    metrics = split_metrics("val", counts, best_threshold(micro_f1_curve(counts)), ("head", "tail"))
    assert metrics["val/micro_f1"] == metrics["val/macro_f1"] == 0.0


def test_memory_at_the_size_of_pubmed():
    """5,000 x 18,211 in batches of 32: below 2 GiB, in a process of its own."""
    code = """
import resource, torch
from trainable.thresholds import ThresholdCounts, best_threshold, macro_f1_curve, micro_f1_curve
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
counter = ThresholdCounts(18211)
probs = torch.linspace(0, 0.02, 32 * 18211).reshape(32, 18211)
targets = probs > 0.0199
for batch in range(0, 5000, 32):
    counter.update(probs, targets)
counts = counter.counts()
best_threshold(micro_f1_curve(counts)), macro_f1_curve(counts)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, start)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    peak_kib, start_kib = map(int, done.stdout.split())
    assert peak_kib < 2 * 2**20
    assert peak_kib - start_kib < 2**20


def test_a_large_update_is_cut(monkeypatch):
    probs, targets = some_predictions()
    whole = count(probs, targets)
    monkeypatch.setattr("trainable.thresholds._CHUNK_ELEMENTS", 10)
    cut = count(probs, targets)
    assert all(
        torch.equal(getattr(whole, name), getattr(cut, name))
        for name in ("tp_KL", "fp_KL", "fn_KL")
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_counts_on_a_gpu_are_the_same():
    probs, targets = some_predictions()
    counter = ThresholdCounts(probs.shape[1], device="cuda")
    counter.update(torch.from_numpy(probs).cuda(), torch.from_numpy(targets).cuda())
    on_gpu, on_cpu = counter.counts(), count(probs, targets)
    for name in ("tp_KL", "fp_KL", "fn_KL"):
        assert torch.equal(getattr(on_gpu, name), getattr(on_cpu, name))
