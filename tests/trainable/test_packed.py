"""The packed forward pass against Hugging Face's own, document by document and padded."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from tests.tiny import encoded_split
from trainable.attention import GroupedAttention
from trainable.packed import MaskDropout, classify_packed, encode_packed
from trainable.packing import by_length, pack

NUM_LABELS = 7


@pytest.fixture(scope="module")
def model():
    config = BertConfig(
        vocab_size=90,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=512,
        initializer_range=0.2,
        num_labels=NUM_LABELS,
    )
    torch.manual_seed(0)
    return BertForSequenceClassification(config).eval()


def packed_logits(model, batch, seed=0):
    dropout = MaskDropout(seed)
    attention = GroupedAttention(batch.groups, model.config.num_attention_heads, dropout)
    return classify_packed(model, batch, attention, dropout)


def split_of(lengths):
    rng = np.random.default_rng(1)
    return encoded_split([rng.integers(1, 90, n).tolist() for n in lengths], [()] * len(lengths))


def padded_logits(model, split, docs):
    """Hugging Face's forward pass in float32 over a padded batch."""
    width = int(split.lengths[docs].max())
    ids = torch.zeros(len(docs), width, dtype=torch.long)
    mask = torch.zeros(len(docs), width, dtype=torch.long)
    for row, doc in enumerate(docs):
        tokens = split.token_ids[split.token_offsets[doc] : split.token_offsets[doc + 1]]
        ids[row, : len(tokens)] = torch.from_numpy(tokens.astype(np.int64))
        mask[row, : len(tokens)] = 1
    return model(input_ids=ids, attention_mask=mask).logits


def gradients(model, logits):
    model.zero_grad()
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "lengths",
    [[3], [2], [128], [511], [512], [512, 512], [3, 128, 511, 512], [2, 17, 17, 18, 64, 300]],
    ids=str,
)
def test_logits_and_gradients_are_those_of_the_padded_batch(model, lengths):
    split = split_of(lengths)
    docs = by_length(split, np.arange(len(lengths)))
    packed = packed_logits(model, pack(split, docs), 0)
    padded = padded_logits(model, split, docs)
    torch.testing.assert_close(packed, padded, rtol=0, atol=1e-5)
    ours, theirs = gradients(model, packed), gradients(model, padded)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        scale = max(1.0, float(theirs[name].abs().max()))
        torch.testing.assert_close(ours[name] / scale, theirs[name] / scale, rtol=0, atol=1e-5)


def test_bf16_autocast_stays_near_float32(model):
    split = split_of([5, 40, 41, 90])
    batch = pack(split, np.arange(4))
    exact = packed_logits(model, batch, 0).detach()
    with torch.autocast("cpu", torch.bfloat16):
        rough = packed_logits(model, batch, 0)
    assert rough.dtype == torch.float32
    # bfloat16 has 8 bits: 3 layers may lose some
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05 * float(exact.abs().max()))


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_its_share_and_keeps_the_mean(p, dtype):
    dropped = MaskDropout(3)(torch.ones(1_000_003, dtype=dtype), p).float()
    # five standard errors of a share over a million
    assert float((dropped == 0).float().mean()) == pytest.approx(p, abs=5 * (p / 1e6) ** 0.5)
    kept = dropped[dropped != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)), rtol=0.005, atol=0)


def test_dropout_masks_differ_between_calls_and_repeat_with_the_seed():
    ones = torch.ones(1000)
    first, again = MaskDropout(5), MaskDropout(5)
    a, b = first(ones, 0.5), first(ones, 0.5)
    assert not torch.equal(a, b)
    assert torch.equal(a, again(ones, 0.5))
    assert torch.equal(b, again(ones, 0.5))


def test_dropout_acts_in_training_only(model):
    split = split_of([9, 9, 30])
    batch = pack(split, np.arange(3))
    model.eval()
    calm = packed_logits(model, batch, 0)
    assert torch.equal(calm, packed_logits(model, batch, 1))
    model.train()
    try:
        noisy = [packed_logits(model, batch, seed) for seed in range(30)]
    finally:
        model.eval()
    assert not torch.equal(noisy[0], noisy[1])
    # dropout of a deep network biases the mean a little; far from the noise of one pass
    spread = torch.stack(noisy).std(0).mean()
    assert (torch.stack(noisy).mean(0) - calm).abs().mean() < spread


def test_hidden_states_of_all_word_pieces_are_those_of_the_padded_batch(model):
    lengths = [2, 17, 17, 18, 64, 300]
    split = split_of(lengths)
    hidden_TH = encode_packed(model.bert, pack(split, np.arange(len(lengths))))
    for doc, own in enumerate(hidden_TH.split(lengths)):
        start, end = split.token_offsets[doc : doc + 2]
        ids = torch.from_numpy(split.token_ids[start:end].astype(np.int64))[None]
        expected = model.bert(input_ids=ids).last_hidden_state[0]
        torch.testing.assert_close(own, expected, rtol=0, atol=1e-5)
