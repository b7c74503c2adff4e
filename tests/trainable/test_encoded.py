"""Encoded splits: fewer word pieces, fewer documents; against a plain reading of the documents."""

import dataclasses
import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import encoded_split, tiny_encoded

documents = st.lists(
    st.lists(st.integers(5, 99), max_size=12).map(lambda pieces: [2, *pieces, 3]), max_size=8
)


def rows(split):
    return [split.token_ids[a:b].tolist() for a, b in itertools.pairwise(split.token_offsets)]


@given(documents, st.integers(3, 16))
def test_a_cut_document_keeps_its_beginning_and_its_end(some, limit):
    split = encoded_split(some, [[n % 3] for n in range(len(some))])
    cut = split.truncated(limit)
    assert rows(cut) == [d if len(d) <= limit else [*d[: limit - 1], 3] for d in some]
    assert cut.label_ids is split.label_ids
    assert rows(split) == some


def test_nothing_is_copied_where_nothing_is_cut():
    split = tiny_encoded().train
    assert split.truncated(int(split.lengths.max())) is split


def test_a_dataset_cut_is_the_dataset_encoded_so():
    cut, short = tiny_encoded(max_length=32).truncated(9), tiny_encoded(max_length=9)
    for name in ("train", "val", "test"):
        assert rows(cut.split(name)) == rows(short.split(name))


@given(documents.filter(len), st.data())
def test_documents_taken_are_those_asked_for(some, data):
    labels = [list(range(n % 3)) for n in range(len(some))]
    features = np.arange(2 * len(some), dtype=np.float32).reshape(-1, 2)
    split = dataclasses.replace(encoded_split(some, labels), features=features)
    docs = data.draw(st.lists(st.integers(0, len(some) - 1), max_size=5))
    taken = split.take(np.asarray(docs, dtype=np.int64))
    wanted = encoded_split([some[doc] for doc in docs], [labels[doc] for doc in docs])
    for name, array in wanted.arrays.items():
        assert taken.arrays[name].tolist() == array.tolist()
        assert taken.arrays[name].dtype == array.dtype
    assert np.array_equal(taken.features, features[docs].reshape(-1, 2))
    assert encoded_split(some, labels).take(np.arange(1)).features is None
