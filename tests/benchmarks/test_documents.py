"""Synthetic documents against the real tokenizer; samples that stand for all documents."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from benchmarks.documents import _lengths, load_corpus, long_tailed_labels, stratified
from trainable.errors import UsageError


def test_the_texts_are_the_word_pieces(corpus, encoder):
    tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
    for name in ("train", "val", "test"):
        split = corpus.data.split(name)
        texts = corpus.texts(name)
        assert len(texts) == len(split)
        for doc, text in enumerate(texts):
            low, high = split.token_offsets[doc : doc + 2]
            assert tokenizer(text)["input_ids"] == split.token_ids[low:high].tolist()


def test_the_lengths_are_those_of_reuters():
    # of its 6,770 training documents under MiniLM's tokenizer: mean 167.2, 6.0 % at 512, and
    # 276.7 for the length that a word piece meets on average
    lengths = _lengths(6770, 512)
    assert 160 < lengths.mean() < 174
    assert 0.04 < (lengths == 512).mean() < 0.07
    assert 255 < (lengths**2).sum() / lengths.sum() < 290
    assert lengths.min() >= 3


def test_labels_are_long_tailed_and_none_is_lost():
    rng = np.random.default_rng(3)
    ids, offsets = long_tailed_labels(4000, 90, per_doc=1.23, rng=rng)
    rows = [ids[low:high].tolist() for low, high in itertools.pairwise(offsets)]
    assert len(rows) == 4000
    assert all(row and row == sorted(set(row)) for row in rows)
    counts = np.bincount(ids, minlength=90)
    assert counts.min() >= 1
    assert counts[0] > 20 * counts[60:].mean()
    assert 1.1 < len(ids) / 4000 < 1.3


def test_fewer_documents_than_labels():
    ids, offsets = long_tailed_labels(5, 1000, per_doc=1.0, rng=np.random.default_rng(0))
    assert ids.tolist() == [0, 1, 2, 3, 4]
    assert offsets.tolist() == [0, 1, 2, 3, 4, 5]


@given(st.lists(st.integers(2, 512), min_size=1, max_size=200), st.integers(1, 60))
def test_a_sample_has_one_document_of_each_stratum(lengths, size):
    lengths = np.asarray(lengths)
    docs = stratified(lengths, size, seed=0)
    size = min(size, len(lengths))
    assert len(set(docs.tolist())) == size == len(docs)
    ranked = np.sort(lengths)
    for place, length in enumerate(sorted(lengths[docs].tolist())):
        low, high = place * len(lengths) // size, -(-(place + 1) * len(lengths) // size)
        assert ranked[low] <= length <= ranked[high - 1]


def test_a_sample_is_shuffled_and_the_same_again():
    lengths = np.arange(3, 403)
    docs = stratified(lengths, 50, seed=0)
    assert docs.tolist() == stratified(lengths, 50, seed=0).tolist()
    assert docs.tolist() != sorted(docs.tolist())
    assert abs(lengths[docs].mean() - lengths.mean()) < 1


def test_data_that_is_not_there(encoder, tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        load_corpus(str(tmp_path / "nowhere"), encoder, max_length=64)


def test_an_encoder_with_too_few_positions(encoder):
    with pytest.raises(UsageError, match="must be at most 64"):
        load_corpus(None, encoder, max_length=512)
