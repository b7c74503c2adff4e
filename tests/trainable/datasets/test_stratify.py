"""The stratified split: shares, label shares, training documents, determinism."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainable.datasets import stratify
from trainable.datasets.stratify import stratified_folds

SHARES = (0.8, 0.1, 0.1)
ROWS = st.lists(
    st.lists(st.integers(0, 7), unique=True, max_size=3).map(tuple), min_size=10, max_size=80
)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 2**32 - 1))
def test_every_document_once_and_every_label_trained(rows, seed):
    folds = stratified_folds(rows, SHARES, seed=seed)
    assert sorted(number for fold in folds for number in fold) == list(range(len(rows)))
    assert all(fold == sorted(fold) for fold in folds)
    trained = {label for number in folds[0] for label in rows[number]}
    assert trained == {label for row in rows for label in row}
    assert folds == stratified_folds(rows, SHARES, seed=seed)


@pytest.mark.parametrize("seed", [0, 123])
def test_sizes_and_label_counts_follow_the_shares(seed):
    rng = np.random.default_rng(seed)
    odds = np.array([0.5, 0.3, 0.1, 0.05, 0.02])
    rows = [tuple(np.flatnonzero(rng.random(5) < odds).tolist()) for _ in range(2000)]
    folds = stratified_folds(rows, SHARES, seed=seed)
    assert [len(fold) for fold in folds] == pytest.approx([1600, 200, 200], abs=10)
    for label in range(5):
        total = sum(label in row for row in rows)
        found = [sum(label in rows[number] for number in fold) for fold in folds]
        # chance alone would miss the rarest by a third
        assert found == pytest.approx([total * share for share in SHARES], abs=max(2, total / 50))
    assert folds != stratified_folds(rows, SHARES, seed=seed + 1)


def test_one_label_and_no_label():
    sizes = [len(fold) for fold in stratified_folds([(0,)] * 50, SHARES, seed=1)]
    assert sizes == [40, 5, 5]
    sizes = [len(fold) for fold in stratified_folds([()] * 50, SHARES, seed=1)]
    assert sizes == [40, 5, 5]


def test_too_many_labels_are_split_at_random_and_say_so(monkeypatch, caplog):
    monkeypatch.setattr(stratify, "_DENSE_CELLS", 100)
    rows = [(n % 30,) for n in range(300)]
    folds = stratified_folds(rows, SHARES, seed=4)
    assert {rows[number] for number in folds[0]} == set(rows)
    assert [len(fold) for fold in folds] == pytest.approx([240, 30, 30], abs=2)
    assert caplog.messages == [
        "300 documents x 30 labels are split at random: too many to stratify; "
        "a split column decides it exactly"
    ]
