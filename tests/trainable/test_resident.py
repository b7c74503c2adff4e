"""A split as tensors of a device, against the documents it was made of."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import encoded_split
from trainable.batching import dense_targets
from trainable.device import upload
from trainable.resident import BUCKET, ResidentSplit

CPU = torch.device("cpu")
LABELS = 6
documents_of_splits = st.lists(
    st.tuples(st.integers(2, 70), st.sets(st.integers(0, LABELS - 1))), min_size=1, max_size=20
)


def split_of(drawn):
    documents = [[100 * n + t for t in range(length)] for n, (length, _) in enumerate(drawn)]
    labels = [sorted(labels) for _, labels in drawn]
    return encoded_split(documents, labels), documents


@given(documents_of_splits, st.data())
def test_a_batch_holds_its_documents_then_the_dummy(drawn, data):
    split, documents = split_of(drawn)
    docs = data.draw(st.permutations(range(len(drawn))))[: data.draw(st.integers(1, len(drawn)))]
    total = sum(len(documents[doc]) for doc in docs)
    num_tokens = total + data.draw(st.integers(1, BUCKET))
    batch = ResidentSplit.of(split, CPU).batch(torch.tensor(docs), num_tokens)
    ends = batch.cu_seqlens.tolist()
    assert batch.cu_seqlens.dtype == torch.int32
    assert len(ends) == len(docs) + 2
    assert (ends[0], ends[-2], ends[-1]) == (0, total, num_tokens)
    assert batch.first_B.tolist() == ends[:-1]
    for n, doc in enumerate(docs):
        part = slice(ends[n], ends[n + 1])
        assert batch.token_ids_T[part].tolist() == documents[doc]
        assert batch.position_ids_T[part].tolist() == list(range(len(documents[doc])))
    # any word piece that exists at any position that exists: its row is ignored
    assert (batch.position_ids_T[total:] == 0).all()
    assert np.isin(batch.token_ids_T[total:], split.token_ids).all()
    assert len(batch.token_ids_T) == num_tokens
    assert max(np.diff(ends)) <= batch.max_length


@given(documents_of_splits, st.data())
def test_targets(drawn, data):
    split, _ = split_of(drawn)
    docs = np.array(data.draw(st.permutations(range(len(drawn)))))
    got = ResidentSplit.of(split, CPU).targets(torch.from_numpy(docs), LABELS)
    expected = torch.zeros(len(docs), LABELS, dtype=torch.bool)
    for row, doc in enumerate(docs):
        for label in drawn[doc][1]:
            expected[row, label] = True
    assert torch.equal(got, expected)
    assert torch.equal(dense_targets(split, docs, LABELS, CPU), expected)


def test_memory_maps_that_cannot_be_written_to_are_read():
    split, _ = split_of([(3, {1}), (4, set())])
    split.token_ids.flags.writeable = False
    assert ResidentSplit.of(split, CPU).token_ids.tolist() == split.token_ids.tolist()


def test_no_value_of_a_tensor_is_needed_on_the_host():
    # tensors of the meta device have no values: whatever asked for one would fail
    split, _ = split_of([(30, {1, 2}), (4, set()), (5, {0})])
    resident = ResidentSplit.of(split, torch.device("meta"))
    docs = torch.empty(2, dtype=torch.int64, device="meta")
    batch = resident.batch(docs, BUCKET)
    assert batch.token_ids_T.shape == (BUCKET,)
    assert batch.cu_seqlens.shape == (4,)
    assert resident.targets(docs, LABELS).shape == (2, LABELS)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_a_gpu_gathers_what_the_cpu_does_without_waiting():
    split, _ = split_of([(30, {1, 2}), (4, set()), (5, {0})])
    docs = np.array([2, 0])
    cuda = torch.device("cuda")
    there, here = ResidentSplit.of(split, cuda), ResidentSplit.of(split, CPU)
    torch.cuda.set_sync_debug_mode("error")
    try:
        on_device = upload(docs, cuda)
        batch, targets = there.batch(on_device, BUCKET), there.targets(on_device, LABELS)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = here.batch(torch.from_numpy(docs), BUCKET)
    for name in ("token_ids_T", "position_ids_T", "first_B", "cu_seqlens"):
        assert torch.equal(getattr(batch, name).cpu(), getattr(expected, name))
    assert torch.equal(targets.cpu(), here.targets(torch.from_numpy(docs), LABELS))
