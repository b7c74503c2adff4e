"""Intervals against resampling by hand, scipy's bootstrap and simulated test sets."""

import dataclasses

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from trainable.bootstrap import LEVEL, aligned, intervals, paired_intervals
from trainable.errors import UsageError
from trainable.predictions import LabelSets, Predictions

GROUPS = ("head", "head", "medium", "tail", "tail")
ODDS = (0.5, 0.4, 0.2, 0.05, 0.03)


def sets_of(matrix):
    return LabelSets.of([np.flatnonzero(row).tolist() for row in matrix])


def model(true, *, mistakes, seed):
    """Predictions that differ from the truth in some places."""
    flipped = np.random.default_rng(seed).random(true.shape) < mistakes
    return Predictions(
        documents=tuple(f"d{n}" for n in range(len(true))),
        label_names=tuple("abcde"),
        groups=GROUPS,
        threshold=0.5,
        predicted=sets_of(true ^ flipped),
        true=sets_of(true),
    )


@pytest.fixture(scope="module")
def true():
    return np.random.default_rng(0).random((300, 5)) < ODDS


def matrices(predictions):
    return [sets.matrix(5).toarray() for sets in (predictions.true, predictions.predicted)]


def by_hand(predictions, average, labels, resamples, seed):
    """Scores of the same draws, one resample after the other, with scikit-learn."""
    truth, preds = matrices(predictions)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        docs = rng.integers(len(truth), size=len(truth))
        found.append(
            f1_score(truth[docs], preds[docs], labels=labels, average=average, zero_division=0)
        )
    seen = f1_score(truth, preds, labels=labels, average=average, zero_division=0)
    return np.array(found), seen


def ends(scores, seen):
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [low - scores.mean() + seen, high - scores.mean() + seen]


@pytest.mark.parametrize("average", ["micro", "macro"])
@pytest.mark.parametrize(("row", "labels"), [("total", None), ("head", [0, 1]), ("tail", [3, 4])])
def test_equals_resampling_by_hand(true, average, row, labels):
    predictions = model(true, mistakes=0.1, seed=1)
    got = intervals(predictions, resamples=60, seed=3)
    assert (got["level"], got["resamples"]) == (0.95, 60)
    expected = ends(*by_hand(predictions, average, labels, 60, 3))
    assert got[row][f"{average}_f1"] == pytest.approx(np.clip(expected, 0, 1).tolist(), abs=1e-9)


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_paired_equals_resampling_by_hand(true, average):
    one, other = model(true, mistakes=0.1, seed=1), model(true, mistakes=0.14, seed=2)
    got = paired_intervals(one, other, resamples=60, seed=3)["total"][f"{average}_f1"]
    first, second = (by_hand(p, average, None, 60, 3) for p in (one, other))
    expected = ends(first[0] - second[0], first[1] - second[1])
    assert [got["low"], got["high"]] == pytest.approx(expected, abs=1e-9)
    assert got["difference"] == pytest.approx(first[1] - second[1], abs=1e-12)


def test_as_wide_as_scipys(true):
    predictions = model(true, mistakes=0.1, seed=1)
    truth, preds = (matrix.astype(bool) for matrix in matrices(predictions))
    places = np.arange(len(truth))
    theirs = stats.bootstrap(
        (places,),
        lambda docs: 2 * (truth & preds)[docs].sum() / (truth[docs].sum() + preds[docs].sum()),
        vectorized=False,
        n_resamples=3000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    low, high = intervals(predictions, resamples=3000)["total"]["micro_f1"]
    assert [low, high] == pytest.approx([theirs.low, theirs.high], abs=0.004)
    assert high - low > 0.03


def test_chunks_change_nothing(true, monkeypatch):
    predictions = model(true, mistakes=0.1, seed=1)
    whole = intervals(predictions, resamples=50)
    monkeypatch.setattr("trainable.bootstrap._CHUNK_ELEMENTS", 2_000)  # six resamples
    assert intervals(predictions, resamples=50) == whole
    assert intervals(predictions, resamples=50, seed=1) != whole


def test_most_intervals_hold_the_truth():
    """Simulated test sets of 200 documents: micro-F1 of all is where 95 % claim that it is."""
    rng = np.random.default_rng(0)
    world = rng.random((40_000, 5)) < ODDS
    preds = world ^ (rng.random(world.shape) < 0.1)
    whole = f1_score(world, preds, average="micro")
    held = 0
    for _ in range(100):
        docs = rng.integers(len(world), size=200)
        some = dataclasses.replace(
            model(world[docs], mistakes=0, seed=0), predicted=sets_of(preds[docs])
        )
        low, high = intervals(some, resamples=200)["total"]["micro_f1"]
        held += low <= whole <= high
    assert held >= 88


def test_two_equal_models_do_not_differ(true):
    predictions = model(true, mistakes=0.1, seed=1)
    got = paired_intervals(predictions, predictions)["total"]["macro_f1"]
    assert got == {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}


def test_pairs_are_narrower_than_each_alone(true):
    one, other = model(true, mistakes=0.1, seed=1), model(true, mistakes=0.101, seed=1)
    pair = paired_intervals(one, other)["total"]["micro_f1"]
    low, high = intervals(one)["total"]["micro_f1"]
    assert pair["high"] - pair["low"] < (high - low) / 2


def test_a_clear_difference_is_seen(true):
    one, other = model(true, mistakes=0.02, seed=1), model(true, mistakes=0.3, seed=2)
    got = paired_intervals(one, other)["total"]["micro_f1"]
    assert got["low"] > 0.2
    assert got["p"] == pytest.approx(2 / 1001)
    back = paired_intervals(other, one)["total"]["micro_f1"]
    assert [back["low"], back["high"]] == pytest.approx([-got["high"], -got["low"]])


def shuffled(predictions, seed=4):
    """The same, its documents and labels in another order."""
    rng = np.random.default_rng(seed)
    docs, labels = rng.permutation(len(predictions.documents)), rng.permutation(5)
    truth, preds = (matrix[docs][:, labels] for matrix in matrices(predictions))
    return Predictions(
        documents=tuple(predictions.documents[n] for n in docs),
        label_names=tuple(predictions.label_names[n] for n in labels),
        groups=tuple(predictions.groups[n] for n in labels),
        threshold=predictions.threshold,
        predicted=sets_of(preds),
        true=sets_of(truth),
    )


def test_documents_and_labels_in_another_order(true):
    one, other = model(true, mistakes=0.1, seed=1), model(true, mistakes=0.14, seed=2)
    assert paired_intervals(one, shuffled(other)) == paired_intervals(one, other)
    back = aligned(shuffled(other), other)
    assert (back.predicted.ids == other.predicted.ids).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label_names": tuple("abcdx")}, "have other labels"),
        ({"documents": tuple(f"x{n}" for n in range(300))}, "scored on other documents"),
        ({"true": sets_of(np.zeros((300, 5), dtype=bool))}, "other true labels"),
    ],
)
def test_what_cannot_be_compared(true, change, says):
    one = model(true, mistakes=0.1, seed=1)
    with pytest.raises(UsageError, match=says):
        paired_intervals(one, dataclasses.replace(one, **change))
