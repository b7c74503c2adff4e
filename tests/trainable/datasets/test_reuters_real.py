"""The numbers of the real corpus: of the paper, of its notebook, of scikit-learn."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import encoded_split
from trainable.config import TrialConfig
from trainable.datasets import load_dataset
from trainable.datasets.reuters import build_reuters, paper_split, read_reuters
from trainable.label_stats import label_stats

CORPUS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "reuters21578.tar.gz"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CORPUS.exists(), reason="the real corpus is not here"),
]


@pytest.fixture(scope="module")
def documents():
    return read_reuters(CORPUS)


@pytest.fixture(scope="module")
def dataset(documents):
    return build_reuters(documents, source=str(CORPUS), split_seed=123)


@pytest.fixture(scope="module")
def as_nltk(documents):
    """One document fewer, in the place of the one that NLTK's copy lacks."""
    rows = [doc for doc in documents if doc.number != 1199]
    return build_reuters(rows, source=str(CORPUS), split_seed=123)


def train_counts(dataset):
    counts = Counter(label for row in dataset.train.labels for label in row)
    return [counts[label] for label in range(len(dataset.label_names))]


def stats(dataset):
    split = dataset.train
    return label_stats(encoded_split([[0]] * len(split), split.labels), len(dataset.label_names))


def test_documents_and_labels(dataset):
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (6_770, 1_000, 3_019)
    assert len(dataset.label_names) == 90
    assert Counter(dataset.groups) == {"head": 30, "medium": 29, "tail": 31}
    sizes = Counter(len(row) > 1 for row in dataset.test.labels)
    assert (sizes[False], sizes[True]) == (2_583, 436)
    total = len(dataset.train) + len(dataset.val) + len(dataset.test)
    labels = sum(
        len(row) for part in (dataset.train, dataset.val, dataset.test) for row in part.labels
    )
    assert labels / total == pytest.approx(1.24, abs=0.005)


def test_the_notebooks_numbers_without_document_1199(as_nltk):
    assert (len(as_nltk.train), len(as_nltk.val), len(as_nltk.test)) == (6_769, 1_000, 3_019)
    assert Counter(as_nltk.groups) == {"head": 30, "medium": 31, "tail": 29}
    quantiles = np.quantile(train_counts(as_nltk), [0.25, 0.33, 0.5, 0.66, 0.75])
    assert quantiles == pytest.approx([5, 9, 17.5, 33.74, 59.75], abs=1e-9)
    # the notebook counts `corn` of document 5467 twice, as the corpus lists it; we count it once
    rows = [list(row) for row in as_nltk.train.labels]
    once = mean_and_median_r(rows)
    assert stats(as_nltk).mu_estimate == pytest.approx(sum(once) / 2, abs=1e-12)
    rows[as_nltk.train.ids.index("5467")].append(as_nltk.label_names.index("corn"))
    assert mean_and_median_r(rows)[0] == pytest.approx(0.8118253777884384, abs=1e-15)


def mean_and_median_r(rows):
    counts = Counter(label for row in rows for label in row)
    ratios = [
        (1 / counts[label]) / sum(1 / counts[other] for other in row)
        for row in rows
        for label in row
    ]
    return np.mean(ratios), np.median(ratios)


def test_mu(dataset, as_nltk):
    assert stats(dataset).mu_estimate == pytest.approx(0.906, abs=5e-4)
    assert stats(as_nltk).mu_estimate == pytest.approx(0.906, abs=5e-4)


def test_the_split_is_scikit_learns(dataset, documents):
    from sklearn.model_selection import train_test_split

    names = set(dataset.label_names)
    ids = [str(doc.number) for doc in documents if doc.part == "train" and names & set(doc.topics)]
    assert len(ids) == 7_770
    assert ids == sorted(ids, key=int)
    train, val = train_test_split(ids, random_state=123, test_size=1000)
    assert set(dataset.train.ids) == set(train)
    assert set(dataset.val.ids) == set(val)


def test_string_order_would_lose_groundnut_oil(as_nltk):
    labels = {
        number: row
        for part in (as_nltk.train, as_nltk.val)
        for number, row in zip(part.ids, part.labels, strict=True)
    }
    ids = sorted(labels)
    train, _ = paper_split(len(ids), 123)
    present = {label for place in train for label in labels[ids[place]]}
    lost = {name for n, name in enumerate(as_nltk.label_names) if n not in present}
    assert lost == {"groundnut-oil"}


def test_rare_labels_are_noise(dataset):
    """25 labels have no validation positive; tail labels have few."""
    val = Counter(label for row in dataset.val.labels for label in row)
    assert sum(val[label] == 0 for label in range(90)) == pytest.approx(25, abs=2)


def test_documents_that_list_a_topic_twice_and_unprocessed_ones(documents, dataset):
    by_number = {doc.number: doc for doc in documents}
    assert by_number[5467].topics.count("corn") == 1
    assert by_number[19918].topics.count("trade") == 1
    texts = [text for part in (dataset.train, dataset.val, dataset.test) for text in part.texts]
    assert all(texts)
    joined = "\n".join(texts)
    assert "&#" not in joined
    assert "&lt;" not in joined
    assert not any(ord(character) < 32 for character in set(joined) - {"\n"})


def test_the_registry_loads_it_and_other_seeds_move_documents(dataset):
    config = TrialConfig(data_path=str(CORPUS))
    assert load_dataset(config).fingerprint == dataset.fingerprint


def test_word_pieces_of_the_packaged_encoder(dataset, tmp_path):
    from trainable.tokenization import encode_dataset

    lengths = encode_dataset(
        dataset, encoder="minilm", max_length=512, cache_dir=tmp_path
    ).train.lengths
    assert lengths.mean() == pytest.approx(168, abs=2)
    quantiles = np.quantile(lengths, [0.5, 0.75, 0.9])
    assert quantiles == pytest.approx([127, 223, 387], abs=3)
    assert (lengths == 512).mean() == pytest.approx(0.06, abs=0.005)
