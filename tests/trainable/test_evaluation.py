"""The evaluation report against scikit-learn on the whole matrix."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_fscore_support

from tests.tiny import encoded_split, tiny_encoded
from trainable.evaluation import evaluation_report
from trainable.thresholds import THRESHOLDS_K

DATA = tiny_encoded()


def predictions(num_docs=90, seed=1):
    rng = np.random.default_rng(seed)
    probs = rng.random((num_docs, DATA.num_labels)).astype(np.float32)
    probs[rng.random(probs.shape) < 0.2] = np.float32(0.37)
    targets = rng.random(probs.shape) < [0.5, 0.4, 0.2, 0.1, 0.0]
    return probs, targets


def report_of(probs, targets, *, chunk=13, threshold=0.37, data=DATA):
    batches = (
        (
            torch.from_numpy(probs[start : start + chunk]),
            torch.from_numpy(targets[start : start + chunk]),
        )
        for start in range(0, len(probs), chunk)
    )  # a generator: it can be read once only
    return evaluation_report(batches, threshold=threshold, data=data)


def f1(targets, preds, average, labels=None):
    score = f1_score(targets, preds, labels=labels, average=average, zero_division=0)
    return pytest.approx(score, abs=1e-12)


def test_equals_scikit_learn():
    probs, targets = predictions()
    preds = probs >= np.float32(0.37)
    report = report_of(probs, targets)
    assert report["split"] == "test"
    assert (report["threshold"], report["num_docs"]) == (0.37, 90)
    for average in ("micro", "macro"):
        key = f"{average}_f1"
        assert report[key] == f1(targets, preds, average)
        assert report[f"{key}_at_0.5"] == f1(targets, probs >= 0.5, average)
        for group in ("head", "medium", "tail"):
            columns = [label for label, its in enumerate(DATA.groups) if its == group]
            assert report[group][key] == f1(targets, preds, average, columns)
        for name, chosen in (
            ("single_label", targets.sum(1) == 1),
            ("multi_label", targets.sum(1) > 1),
        ):
            assert report[name]["num_docs"] == chosen.sum() > 0
            assert report[name][key] == f1(targets[chosen], preds[chosen], average)
        curve = [
            f1_score(targets, probs >= t, average=average, zero_division=0) for t in THRESHOLDS_K
        ]
        assert report["threshold_curve"][key] == pytest.approx(curve, abs=1e-12)
    assert report["threshold_curve"]["threshold"] == list(THRESHOLDS_K)


def test_per_label_equals_scikit_learn():
    probs, targets = predictions()
    columns = precision_recall_fscore_support(
        targets, probs >= np.float32(0.37), average=None, zero_division=0
    )
    rows = report_of(probs, targets)["per_label"]
    assert [row["label"] for row in rows] == list(DATA.label_names)
    assert [row["group"] for row in rows] == list(DATA.groups)
    trained = np.bincount(DATA.train.label_ids, minlength=DATA.num_labels)
    assert [row["train_count"] for row in rows] == trained.tolist()
    for name, expected in zip(("precision", "recall", "f1", "support"), columns, strict=True):
        assert [row[name] for row in rows] == pytest.approx(expected.tolist(), abs=1e-12)


def test_is_json_and_does_not_depend_on_the_batches():
    probs, targets = predictions()
    report = report_of(probs, targets)
    assert json.loads(json.dumps(report)) == report
    assert report_of(probs, targets, chunk=1) == report_of(probs, targets, chunk=90) == report


def test_a_threshold_off_the_grid():
    probs, targets = predictions()
    report = report_of(probs, targets, threshold=0.4321)
    assert report["micro_f1"] == f1(targets, probs >= np.float32(0.4321), "micro")


def test_documents_without_labels_count_in_the_total_only():
    probs, targets = predictions()
    targets[:10] = False
    report = report_of(probs, targets)
    assert report["num_docs"] == 90
    with_labels = report["single_label"]["num_docs"] + report["multi_label"]["num_docs"]
    assert with_labels == (targets.sum(1) > 0).sum()


def test_what_has_no_documents_or_labels_is_left_out():
    split = encoded_split([[2, 3]] * 3, [(0,), (1,), (0,)])
    data = tiny_encoded()
    data = type(data)(
        name="two",
        fingerprint="x",
        label_names=("a", "b"),
        groups=("head", "tail"),
        pad_id=0,
        train=split,
        val=split,
        test=split,
    )
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], dtype=np.float32)
    report = report_of(probs, np.eye(2, dtype=bool)[[0, 1, 0]], data=data, threshold=0.5)
    assert "medium" not in report
    assert "multi_label" not in report
    assert report["single_label"] == {
        "num_docs": 3,
        "micro_f1": pytest.approx(2 / 3),
        "macro_f1": pytest.approx(2 / 3),
    }
