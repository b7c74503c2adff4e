"""The plan of a packed batch, against a plain reading of the documents."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import encoded_split
from trainable.packing import MASKED, MAX_WASTE, by_length, pack

lengths_of_batches = st.lists(st.integers(2, 70), min_size=1, max_size=40)


def split_of(lengths):
    documents = [[100 * n + t for t in range(length)] for n, length in enumerate(lengths)]
    return encoded_split(documents, [()] * len(documents)), documents


@given(lengths_of_batches)
def test_every_token_once_in_its_place(lengths):
    split, documents = split_of(lengths)
    docs = by_length(split, np.arange(len(lengths)))
    batch = pack(split, docs)
    expected = [documents[doc] for doc in docs]
    assert batch.token_ids_T.tolist() == [token for document in expected for token in document]
    assert batch.position_ids_T.tolist() == [
        t for document in expected for t in range(len(document))
    ]
    assert batch.token_ids_T[batch.first_B].tolist() == [document[0] for document in expected]


@given(lengths_of_batches)
def test_groups_give_each_document_its_own_keys(lengths):
    split, documents = split_of(lengths)
    docs = by_length(split, np.arange(len(lengths)))
    batch = pack(split, docs)
    assert sum(group.num_docs for group in batch.groups) == len(docs)
    chunks = batch.token_ids_T.split([group.num_tokens for group in batch.groups])
    remaining = iter([documents[doc] for doc in docs])
    for group, tokens in zip(batch.groups, chunks, strict=True):
        padded = tokens if group.gather is None else tokens[group.gather]
        rows = padded.view(group.num_docs, group.width)
        bias = torch.zeros(group.num_docs, 1, group.width)
        bias = bias if group.key_bias is None else group.key_bias
        for row, row_bias in zip(rows, bias, strict=True):
            document = next(remaining)
            assert row[: len(document)].tolist() == document
            assert (row_bias[0, : len(document)] == 0).all()
            assert (row_bias[0, len(document) :] == MASKED).all()
        if group.real is not None:
            assert padded[group.real].tolist() == tokens.tolist()


@given(lengths_of_batches)
def test_little_attention_is_wasted(lengths):
    split, _ = split_of(lengths)
    docs = by_length(split, np.arange(len(lengths)))
    padded = sum(group.num_docs * group.width**2 for group in pack(split, docs).groups)
    assert padded <= MAX_WASTE * sum(length**2 for length in lengths) + 1e-9


def test_documents_out_of_order_are_refused():
    split, _ = split_of([5, 3])
    with pytest.raises(AssertionError, match="from short to long"):
        pack(split, np.arange(2))
