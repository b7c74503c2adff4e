"""The packed forward pass against Hugging Face's own, document by document and padded."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import dropout as torch_dropout
from transformers import BertConfig, BertForSequenceClassification

from tests.flash_reference import reference_flash
from tests.tiny import encoded_split
from trainable.attention import GroupedAttention, VarlenAttention
from trainable.packed import MaskDropout, classify_packed, encode_packed
from trainable.packing import by_length, pack
from trainable.resident import ResidentSplit

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


def grouped(model, split, docs, seed=0):
    """Logits as on a CPU; `docs` from short to long."""
    dropout = MaskDropout(seed)
    batch = pack(split, docs)
    attention = GroupedAttention(batch.groups, model.config.num_attention_heads, dropout)
    return classify_packed(model, batch, attention, dropout)


def varlen(model, split, docs, seed=0, op=reference_flash):
    """Logits as on a GPU, by the operator's arithmetic or on a GPU itself."""
    docs = torch.from_numpy(docs).to(model.device)
    num_tokens = int(split.lengths.sum()) + 37  # the dummy's
    batch = ResidentSplit.of(split, model.device).batch(docs, num_tokens)
    heads = model.config.num_attention_heads
    attention = VarlenAttention(batch.cu_seqlens, batch.max_length, heads, op)
    torch.manual_seed(seed)
    return classify_packed(model, batch, attention, torch_dropout)[: len(docs)]


LAYOUTS = pytest.mark.parametrize("packed", [grouped, varlen], ids=["grouped", "varlen"])


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


def relative_errors(ours, theirs):
    """Of each gradient as a vector; the keys' biases have none, softmax ignores them."""
    return {
        name: float((ours[name].cpu() - truth).norm() / truth.norm())
        for name, truth in theirs.items()
        if not name.endswith("key.bias")
    }


@LAYOUTS
@pytest.mark.parametrize(
    "lengths",
    [[3], [2], [128], [511], [512], [512, 512], [3, 128, 511, 512], [2, 17, 17, 18, 64, 300]],
    ids=str,
)
def test_logits_and_gradients_are_those_of_the_padded_batch(model, lengths, packed):
    split = split_of(lengths)
    docs = by_length(split, np.arange(len(lengths)))
    logits = packed(model, split, docs)
    padded = padded_logits(model, split, docs)
    torch.testing.assert_close(logits, padded, rtol=0, atol=1e-5)
    ours, theirs = gradients(model, logits), gradients(model, padded)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        scale = max(1.0, float(theirs[name].abs().max()))
        torch.testing.assert_close(ours[name] / scale, theirs[name] / scale, rtol=0, atol=1e-5)


@LAYOUTS
def test_bf16_autocast_stays_near_float32(model, packed):
    split = split_of([5, 40, 41, 90])
    docs = np.arange(4)
    exact = padded_logits(model, split, docs)
    with torch.autocast("cpu", torch.bfloat16):
        rough = packed(model, split, docs)
    assert rough.dtype == torch.float32
    # bfloat16 has 8 bits: 3 layers may lose some
    scale = float(exact.detach().abs().max())
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05 * scale)
    errors = relative_errors(gradients(model, rough), gradients(model, exact))
    assert max(errors.values()) < 0.05


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


@pytest.fixture
def training(model):
    """Sets the two dropouts of the model in training mode."""

    def build(*, hidden, attention):
        model.config.hidden_dropout_prob = hidden
        model.config.attention_probs_dropout_prob = attention
        return model.train()

    yield build
    build(hidden=0.1, attention=0.1).eval()


@LAYOUTS
@pytest.mark.parametrize(("hidden", "attention"), [(0.1, 0.1), (0.1, 0.0), (0.0, 0.1)])
def test_dropout_acts_in_training_only(model, training, packed, hidden, attention):
    split = split_of([9, 9, 30])
    docs = np.arange(3)
    calm = packed(model.eval(), split, docs)
    assert torch.equal(calm, packed(model, split, docs, seed=1))
    training(hidden=hidden, attention=attention)
    noisy = [packed(model, split, docs, seed=seed) for seed in range(30)]
    assert not torch.equal(noisy[0], noisy[1])
    assert torch.equal(noisy[1], packed(model, split, docs, seed=1))
    # dropout of a deep network biases the mean a little; far from the noise of one pass
    spread = torch.stack(noisy).std(0).mean()
    assert (torch.stack(noisy).mean(0) - calm).abs().mean() < spread
    training(hidden=0.0, attention=0.0)
    assert torch.equal(calm, packed(model, split, docs))


def test_each_layer_drops_on_its_own(training):
    split = split_of([100, 100])
    masks = []

    def dropout(x, p):
        masks.append(MaskDropout(len(masks))(torch.ones_like(x), p) != 0)
        return x * masks[-1]

    batch = pack(split, np.arange(2))
    attention = GroupedAttention(batch.groups, 4, dropout)
    classify_packed(training(hidden=0.2, attention=0.3), batch, attention, dropout)
    shapes = [tuple(mask.shape) for mask in masks]
    # embeddings; attention, its output and feed-forward of each layer, the last for [CLS]; pooler
    layer = [(8, 100, 100), (200, 32), (200, 32)]
    last = [(8, 1, 100), (2, 32), (2, 32)]
    assert shapes == [(200, 32), *layer, *layer, *last, (2, 32)]
    dropped = [float((~mask).float().mean()) for mask in masks]
    assert dropped[1] == pytest.approx(0.3, abs=0.01)
    assert dropped[2] == pytest.approx(0.2, abs=0.03)


@pytest.mark.gpu
@pytest.mark.parametrize("lengths", [[128], [512], [3, 128, 511, 512], [2, 17, 17, 18, 64, 300]])
def test_a_gpu_in_bf16_stays_near_float32(model, lengths):
    split = split_of(lengths)
    docs = np.arange(len(lengths))
    exact = padded_logits(model, split, docs)
    there = copy.deepcopy(model).cuda()
    there.zero_grad()
    with torch.autocast("cuda", torch.bfloat16):
        rough = varlen(there, split, docs, op=None)
    scale = float(exact.detach().abs().max())
    torch.testing.assert_close(rough.cpu(), exact, rtol=0.05, atol=0.05 * scale)
    weights = torch.linspace(-1, 1, exact.numel()).view_as(exact)
    (rough * weights.cuda()).sum().backward()
    ours = {name: p.grad for name, p in there.named_parameters() if p.grad is not None}
    assert max(relative_errors(ours, gradients(model, exact)).values()) < 0.05


@pytest.mark.gpu
def test_dropout_on_a_gpu_varies_around_the_calm_logits(training):
    split = split_of([9, 9, 30])
    docs = np.arange(3)
    there = copy.deepcopy(training(hidden=0.1, attention=0.1)).cuda()
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        noisy = [varlen(there, split, docs, seed=seed, op=None) for seed in range(30)]
        again = varlen(there, split, docs, seed=1, op=None)
        calm = varlen(there.eval(), split, docs, op=None)
    assert not torch.equal(noisy[0], noisy[1])
    assert torch.equal(noisy[1], again)
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
