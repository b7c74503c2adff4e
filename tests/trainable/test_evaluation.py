"""The evaluation report against scikit-learn on the whole matrix."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_fscore_support, roc_auc_score

from tests.tiny import encoded_split, tiny_encoded
from trainable import predictions as kept
from trainable.evaluation import evaluate, evaluation_report, with_intervals
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
    assert report["single_label"]["num_docs"] == 3
    for score in ("micro_f1", "macro_f1"):
        assert report["single_label"][score] == pytest.approx(2 / 3)


def blocks_of(report, targets):
    """Each block of scores with the documents and labels that it is of."""
    everything = np.ones(len(targets), dtype=bool)
    yield report, everything, None
    for group in ("head", "medium", "tail"):
        yield report[group], everything, [n for n, its in enumerate(DATA.groups) if its == group]
    yield report["single_label"], targets.sum(1) == 1, None
    yield report["multi_label"], targets.sum(1) > 1, None


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_every_score_of_every_block_equals_scikit_learn(average):
    probs, targets = predictions()
    report = report_of(probs, targets)
    for limit, suffix in ((0.37, ""), (0.5, "_at_0.5")):
        preds = probs >= np.float32(limit)
        for block, chosen, labels in blocks_of(report, targets):
            expected = precision_recall_fscore_support(
                targets[chosen], preds[chosen], labels=labels, average=average, zero_division=0
            )[:3]
            got = [block[f"{average}_{name}{suffix}"] for name in ("precision", "recall", "f1")]
            assert got == pytest.approx(expected, abs=1e-12)


def test_the_curve_has_precision_and_recall():
    probs, targets = predictions()
    curve = report_of(probs, targets)["threshold_curve"]
    found = [
        precision_recall_fscore_support(targets, probs >= t, average="micro", zero_division=0)[:2]
        for t in THRESHOLDS_K
    ]
    assert curve["micro_precision"] == pytest.approx([p for p, _ in found], abs=1e-12)
    assert curve["micro_recall"] == pytest.approx([r for _, r in found], abs=1e-12)


def test_roc_auc_stands_beside_its_error():
    probs, targets = predictions()
    report = report_of(probs, targets)
    exact = roc_auc_score(targets, probs, average="micro")
    assert report["micro_roc_auc"] == pytest.approx(exact, abs=1e-6 + report["micro_roc_auc_error"])
    assert report["micro_roc_auc_error"] < 0.02  # the fifth that shares one score is a real tie
    nothing = report_of(probs, np.zeros_like(targets))
    assert "micro_roc_auc" not in nothing


def test_the_predictions_are_what_the_scores_are_of():
    probs, targets = predictions()
    batches = [(torch.from_numpy(probs[:50]), torch.from_numpy(targets[:50]))]
    batches += [(torch.from_numpy(probs[50:]), torch.from_numpy(targets[50:]))]
    names = [f"doc-{n}" for n in range(90)]
    found = evaluate(batches, threshold=0.37, data=DATA, documents=names).predictions
    assert found.documents == tuple(names)
    assert (found.predicted.matrix(5).toarray() == (probs >= np.float32(0.37))).all()
    assert (found.true.matrix(5).toarray() == targets).all()


def test_thresholds_of_their_own_stand_beside_the_one():
    probs, targets = predictions()
    own = torch.tensor([0.2, 0.3, 0.4, 0.5, 0.6])
    batches = [(torch.from_numpy(probs), torch.from_numpy(targets))]
    found = evaluate(batches, threshold=0.37, data=DATA, own_thresholds_L=own)
    preds = probs >= own.numpy()
    block = found.report["own_thresholds"]
    assert block["macro_f1"] == f1(targets, preds, "macro")
    assert block["tail"]["micro_f1"] == f1(targets, preds, "micro", [3, 4])
    assert (found.own_predictions.predicted.matrix(5).toarray() == preds).all()
    assert [row["own_threshold"] for row in found.report["per_label"]] == pytest.approx(
        own.tolist()
    )
    plain = report_of(probs, targets)
    assert {key: found.report[key] for key in ("micro_f1", "head")} == {
        key: plain[key] for key in ("micro_f1", "head")
    }


def test_too_many_predictions_are_counted_but_not_kept(monkeypatch):
    monkeypatch.setattr(kept, "MOST_PAIRS", 20)
    probs, targets = predictions()
    batches = [(torch.from_numpy(probs), torch.from_numpy(targets))]
    found = evaluate(batches, threshold=0.37, data=DATA)
    assert found.predictions is None
    assert with_intervals(found) == found.report == report_of(probs, targets)
