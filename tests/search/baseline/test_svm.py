"""The SVM against scikit-learn's own pieces, and its shift against trying all of them."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC

from search.baseline import svm as room
from search.baseline.scored import score_svm
from search.baseline.svm import SHIFTS, as_probabilities, best_shift, fit
from tests.tiny import tiny_dataset
from trainable.datasets.assemble import Document, assemble
from trainable.datasets.groups import tertile_groups
from trainable.encoded import labels_alone
from trainable.errors import UserError
from trainable.predictions import LabelSets


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset(train=200, val=60, test=80)


@pytest.fixture(scope="module")
def fitted(dataset):
    return fit(dataset)


def dense(split):
    return LabelSets.of(split.labels).matrix(5).toarray() > 0


def test_decisions_are_those_of_one_svm_a_label(dataset, fitted):
    """The published code: word counts, then TF-IDF, then an SVM for each column by itself."""
    counts = CountVectorizer()
    weights = TfidfTransformer()
    train = weights.fit_transform(counts.fit_transform(dataset.train.texts))
    test = weights.transform(counts.transform(dataset.test.texts))
    expected = [
        LinearSVC(C=1.0, max_iter=10_000, random_state=123).fit(train, column)
        .decision_function(test)
        for column in dense(dataset.train).T.astype(int)
    ]  # fmt: skip
    got = np.concatenate(list(fitted.decisions(dataset.test.texts)))
    np.testing.assert_allclose(got, np.array(expected).T, atol=1e-6)


def test_slices_change_nothing(dataset, fitted, monkeypatch):
    whole = np.concatenate(list(fitted.decisions(dataset.test.texts)))
    monkeypatch.setattr(room, "_SLICE_ELEMENTS", 35)  # seven documents
    slices = list(fitted.decisions(dataset.test.texts))
    assert len(slices) > 5
    np.testing.assert_array_equal(np.concatenate(slices), whole)


def test_the_shift_is_the_best_on_validation(dataset, fitted):
    decisions = np.concatenate(list(fitted.decisions(dataset.val.texts)))
    scores = {s: f1_score(dense(dataset.val), decisions >= s, average="micro") for s in SHIFTS}
    best = max(scores.values())
    assert fitted.validation_micro_f1 == pytest.approx(best, abs=1e-12)
    equals = [s for s in SHIFTS if scores[s] == pytest.approx(best, abs=1e-12)]
    assert fitted.shift == min(equals, key=abs)


def test_of_equal_shifts_the_nearest_to_none():
    true = LabelSets.of([(0,), ()]).matrix(1)
    assert best_shift(iter([np.array([[5.0], [-5.0]])]), true) == (0.0, 1.0)


def test_probabilities_keep_the_order_and_the_middle():
    decisions = np.array([[-3.0, -0.3, 0.0, 0.7]])
    probs = as_probabilities(decisions)
    assert (np.diff(probs) > 0).all()
    assert probs[0, 2] == 0.5


def test_scores_are_scikit_learns(dataset, fitted):
    scored = score_svm(dataset)
    preds = np.concatenate(list(fitted.decisions(dataset.test.texts))) >= fitted.shift
    for average in ("micro", "macro"):
        want = f1_score(dense(dataset.test), preds, average=average, zero_division=0)
        assert scored.report[f"{average}_f1"] == pytest.approx(want, abs=1e-9)
    assert scored.validation["micro_f1"] == pytest.approx(fitted.validation_micro_f1, abs=1e-9)
    assert scored.report["shift"] == scored.shift == fitted.shift
    low, high = scored.report["intervals"]["total"]["micro_f1"]
    assert low <= scored.report["micro_f1"] <= high
    assert scored.predictions.documents == tuple(dataset.test.ids)
    assert (scored.predictions.predicted.matrix(5).toarray() == preds).all()


def test_the_report_counts_training_documents(dataset):
    data = labels_alone(dataset)
    assert (data.num_labels, len(data.train), len(data.test)) == (5, 200, 80)
    rows = score_svm(dataset).report["per_label"]
    assert [row["train_count"] for row in rows] == dense(dataset.train).sum(0).tolist()


def made(texts, labels=(("a",), ("a", "b"), ("a",), ("b", "a"))):
    documents = [Document(str(n), *row) for n, row in enumerate(zip(texts, labels, strict=True))]
    return assemble(
        name="made",
        source="by hand",
        splits={
            "train": documents,
            "val": [Document("v", "apples", ("a",))],
            "test": [Document("t", "pears", ("a", "b"))],
        },
        group_rule=tertile_groups,
        advice="",
    )


def test_a_label_of_all_documents_is_always_given():
    scored = score_svm(made(["apples", "pears", "plums", "pears"]))
    [first, _] = scored.report["per_label"]
    assert (first["label"], first["recall"]) == ("a", 1.0)


def test_texts_without_words():
    with pytest.raises(UserError, match="the training texts of by hand have no words"):
        fit(made(["!", "?", ".", ","]))
