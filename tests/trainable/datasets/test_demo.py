"""The demo corpus: the same everywhere, long-tailed, learnable, not too easy."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from trainable.config import TrialConfig
from trainable.datasets import load_dataset

FINGERPRINT = "293ec8c8e72f03ff3aef8817fb0effc6a71849d1ef2877ad208e60fdb11e53f8"


@pytest.fixture(scope="module")
def demo():
    return load_dataset(TrialConfig(dataset="demo"))


def counts(dataset, split):
    found = Counter(label for row in split.labels for label in row)
    return np.array([found[label] for label in range(len(dataset.label_names))])


def test_it_is_the_same_everywhere(demo):
    """Change this only with the corpus, and say so in the changelog."""
    assert demo.fingerprint == FINGERPRINT


def test_hash_randomisation_does_not_reach_it():
    code = (
        "from trainable.config import TrialConfig; from trainable.datasets import load_dataset; "
        "print(load_dataset(TrialConfig(dataset='demo')).fingerprint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "99", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == FINGERPRINT


def test_it_says_that_it_is_synthetic(demo):
    assert demo.source == "synthetic"
    assert demo.name == "demo"
    assert all(number.startswith("synthetic-") for number in demo.train.ids)


def test_sizes_and_long_tail(demo):
    train = counts(demo, demo.train)
    assert 1_900 <= len(demo.train) + len(demo.val) + len(demo.test) <= 2_100
    assert 24 <= len(demo.label_names) <= 30
    assert min(Counter(demo.groups)[group] for group in ("head", "medium", "tail")) >= 5
    assert train.min() >= 3
    assert (train < 8).sum() >= 5
    assert train.max() > 50 * train.min()
    assert (counts(demo, demo.test) > 0).all()
    assert sum(len(row) > 1 for row in demo.train.labels) > 0.1 * len(demo.train)


def test_texts_are_short_and_distinct(demo):
    texts = [*demo.train.texts, *demo.val.texts, *demo.test.texts]
    words = [len(text.split()) for text in texts]
    assert min(words) >= 8
    assert max(words) <= 30
    assert len(set(texts)) > 0.99 * len(texts)
    assert not any("{" in text or "}" in text for text in texts)


def test_the_split_seed_moves_train_and_val_only(demo):
    other = load_dataset(TrialConfig(dataset="demo", split_seed=7))
    assert other.test == demo.test
    assert other.train.ids != demo.train.ids
    assert {*other.train.ids, *other.val.ids} == {*demo.train.ids, *demo.val.ids}
    assert other.fingerprint != demo.fingerprint


def test_a_linear_model_learns_the_head_and_balancing_helps_the_tail(demo):
    """Room between losses: plain training loses the tail that class weights find."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import MultiLabelBinarizer

    binarizer = MultiLabelBinarizer(classes=range(len(demo.label_names)))
    train, test = (binarizer.fit_transform(part.labels) for part in (demo.train, demo.test))
    vectorizer = TfidfVectorizer()
    train_words = vectorizer.fit_transform(demo.train.texts)
    test_words = vectorizer.transform(demo.test.texts)
    tail = np.array(demo.groups) == "tail"
    scores = {}
    for weight in (None, "balanced"):
        model = OneVsRestClassifier(LogisticRegression(C=30, class_weight=weight))
        preds = model.fit(train_words, train).predict(test_words)
        scores[weight] = (
            f1_score(test, preds, average="micro", zero_division=0),
            f1_score(test[:, tail], preds[:, tail], average="macro", zero_division=0),
        )
    assert 0.8 < scores["balanced"][0] < 0.95
    assert scores["balanced"][1] > scores[None][1] + 0.2
