"""Order of an epoch, slices of like length, padding, dense targets."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import encoded_split
from trainable.batching import (
    batches_of,
    cut_packed,
    cut_slices,
    dense_targets,
    epoch_order,
    halve,
    padded_tokens,
)

CPU = torch.device("cpu")


def test_order_is_a_permutation_that_depends_on_seed_and_epoch_only():
    order = epoch_order(50, seed=3, epoch=7)
    np.random.seed(0)
    torch.manual_seed(0)
    assert order.tolist() == epoch_order(50, seed=3, epoch=7).tolist()
    assert sorted(order) == list(range(50))
    others = [epoch_order(50, seed=3, epoch=8), epoch_order(50, seed=4, epoch=7)]
    assert all(order.tolist() != other.tolist() for other in others)


@pytest.mark.parametrize(
    ("docs", "size", "sizes"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 9, [2])]
)
def test_last_batch_may_be_smaller(docs, size, sizes):
    batches = list(batches_of(np.arange(docs), size))
    assert [len(batch) for batch in batches] == sizes
    assert np.concatenate(batches).tolist() == list(range(docs))


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 64), min_size=1, max_size=9),
    max_tokens=st.integers(1, 400),
    overhead=st.integers(0, 200),
)
def test_slices_are_a_partition_of_least_cost(lengths, max_tokens, overhead):
    slices = cut_slices(
        np.array(lengths), max_width=64, max_tokens=max_tokens, overhead_tokens=overhead
    )
    assert sorted(np.concatenate(slices).tolist()) == list(range(len(lengths)))
    groups = [[lengths[position] for position in one] for one in slices]
    assert all(len(group) == 1 or cost(group) <= max_tokens for group in groups)
    total = sum(cost(group) + overhead for group in groups)
    assert total == min(best_by_brute_force(sorted(lengths), max_tokens, overhead))


def cost(group):
    return len(group) * -(-max(group) // 8) * 8


def best_by_brute_force(lengths, max_tokens, overhead):
    for cuts in itertools.product([False, True], repeat=len(lengths) - 1):
        groups = [[lengths[0]]]
        for length, cut in zip(lengths[1:], cuts, strict=True):
            if cut:
                groups.append([])
            groups[-1].append(length)
        if all(len(group) == 1 or cost(group) <= max_tokens for group in groups):
            yield sum(cost(group) + overhead for group in groups)


def test_widths_stop_at_the_positions_of_the_encoder():
    split = encoded_split([[5] * 61], [[0]])
    docs = np.array([0])
    ids, mask = padded_tokens(split, docs, pad_id=0, max_width=62, device=CPU)
    assert ids.shape == (1, 62)
    assert mask is not None
    assert mask.shape == (1, 1, 1, 62)


def test_padding():
    split = encoded_split([[2, 7, 3], [2, 3], [2, 8, 9, 8, 9, 8, 9, 3]], [[], [0], [1]])
    ids, mask = padded_tokens(split, np.array([2, 0]), pad_id=77, max_width=64, device=CPU)
    assert ids.dtype == torch.int64
    assert ids.tolist() == [[2, 8, 9, 8, 9, 8, 9, 3], [2, 7, 3] + [77] * 5]
    assert mask is not None
    assert mask[:, 0, 0].tolist() == [[True] * 8, [True] * 3 + [False] * 5]


def test_nothing_padded_needs_no_mask():
    split = encoded_split([[2, 8, 9, 8, 9, 8, 9, 3]] * 2, [[], []])
    _, mask = padded_tokens(split, np.array([0, 1]), pad_id=0, max_width=64, device=CPU)
    assert mask is None


def test_an_empty_document_is_just_padding_to_its_two_marks():
    split = encoded_split([[2, 3]], [[]])
    ids, mask = padded_tokens(split, np.array([0]), pad_id=0, max_width=64, device=CPU)
    assert ids.tolist() == [[2, 3, 0, 0, 0, 0, 0, 0]]
    assert mask is not None


def test_dense_targets():
    split = encoded_split([[1]] * 4, [[0, 2], [], [1], [0, 1, 2]])
    targets = dense_targets(split, np.array([3, 1, 0]), 4, CPU)
    assert targets.dtype == torch.bool
    assert targets.int().tolist() == [[1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0]]


@given(lengths=st.lists(st.integers(1, 64), min_size=1, max_size=30), limit=st.integers(1, 300))
def test_packed_slices_are_a_partition_from_short_to_long(lengths, limit):
    slices = cut_packed(np.array(lengths), max_tokens=limit)
    positions = np.concatenate(slices)
    assert sorted(positions) == list(range(len(lengths)))
    assert [lengths[p] for p in positions] == sorted(lengths)
    sizes = [sum(lengths[p] for p in part) for part in slices]
    assert all(size <= limit or len(part) == 1 for size, part in zip(sizes, slices, strict=True))
    # as few as can be: no slice could have taken the next document too
    starts = [lengths[part[0]] for part in slices[1:]]
    assert all(size + start > limit for size, start in zip(sizes[:-1], starts, strict=True))


@given(
    lengths=st.lists(st.integers(1, 512), min_size=1, max_size=40),
    limit=st.integers(1, 3000),
    sort=st.booleans(),
)
def test_halved_slices_have_at_most_half_the_documents_and_word_pieces(lengths, limit, sort):
    lengths = np.array(lengths)
    slices = cut_packed(lengths, max_tokens=limit) if sort else [np.arange(len(lengths))]
    rest = halve(slices, lengths)
    assert sorted(np.concatenate(rest)) == list(range(len(lengths)))
    for whole in slices:
        parts, taken = [], 0
        while taken < len(whole):
            parts.append(rest.pop(0))
            taken += len(parts[-1])
        assert sorted(np.concatenate(parts)) == sorted(whole)
        assert all(2 * len(part) <= len(whole) + 1 for part in parts)
        total = lengths[whole].sum()
        assert all(len(p) == 1 or 2 * lengths[p].sum() <= total + 1 for p in parts)
        assert [lengths[p] for part in parts for p in part] == sorted(lengths[whole])
    assert rest == []
