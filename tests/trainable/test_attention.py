"""Flash attention's operator as we call it; its arithmetic against transformers: test_packed."""

import logging

import numpy as np
import pytest
import torch
from transformers import BertConfig

from tests.flash_reference import reference_flash
from tests.tiny import encoded_split
from trainable.attention import GroupedAttention, VarlenAttention, flash_problem, warn_once
from trainable.packed import MaskDropout
from trainable.packing import pack

FLASH = torch.ops.aten._flash_attention_forward
CUDA = torch.device("cuda")
HEADS, HIDDEN = 4, 32
LENGTHS = (3, 5, 5, 40)


def cu_seqlens(device="cpu"):
    return torch.tensor([0, 3, 8, 13, 53], dtype=torch.int32, device=device)


def inputs(device="cpu", dtype=torch.float32):
    torch.manual_seed(0)
    shapes = [(53, 3 * HIDDEN), (4, HIDDEN), (53, 2 * HIDDEN)]
    return [torch.randn(shape).to(device, dtype).requires_grad_() for shape in shapes]


def test_the_operator_has_the_arguments_that_we_pass():
    arguments = FLASH.default._schema.arguments
    positional = [argument.name for argument in arguments if not argument.kwarg_only]
    assert positional == [
        *("query", "key", "value", "cum_seq_q", "cum_seq_k", "max_q", "max_k"),
        *("dropout_p", "is_causal", "return_debug_mask"),
    ]
    keyword = {argument.name: argument for argument in arguments if argument.kwarg_only}
    assert "scale" in keyword
    assert all(argument.has_default_value() for argument in keyword.values())
    assert FLASH.default._schema.returns[0].name == "output"


def test_the_operator_takes_our_shapes_forward_and_backward():
    # on the meta device: the real operator and its derivative, without values
    qkv, query, kv = inputs("meta", torch.bfloat16)
    attention = VarlenAttention(cu_seqlens("meta"), 512, HEADS, FLASH)
    tokens, first = attention.tokens(qkv, 0.1), attention.first(query, kv, 0.1)
    assert (tokens.shape, tokens.dtype) == ((53, HIDDEN), torch.bfloat16)
    assert (first.shape, first.dtype) == ((4, HIDDEN), torch.bfloat16)
    (tokens.sum() + first.sum()).backward()
    for x in (qkv, query, kv):
        assert (x.grad.shape, x.grad.dtype) == (x.shape, torch.bfloat16)


def test_both_ways_give_the_same_context():
    split = encoded_split([[1] * length for length in LENGTHS], [()] * 4)
    groups = pack(split, np.arange(4)).groups
    assert len(groups) > 1
    both = (
        GroupedAttention(groups, HEADS, MaskDropout(0)),
        VarlenAttention(cu_seqlens(), 40, HEADS, reference_flash),
    )
    qkv, query, kv = inputs()
    ours, theirs = (torch.cat([x.tokens(qkv, 0.0), x.first(query, kv, 0.0)]) for x in both)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    weights = torch.linspace(-1, 1, HIDDEN)
    grads = [torch.autograd.grad((x * weights).sum(), (qkv, query, kv)) for x in (ours, theirs)]
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_groups_drop_their_share_of_probabilities(p):
    # equal scores and values of one: the context is the share of probabilities kept, over 1 - p
    split = encoded_split([[1] * 256] * 4, [()] * 4)
    groups = pack(split, np.arange(4)).groups
    attention = GroupedAttention(groups, 8, MaskDropout(0))
    qkv = torch.cat([torch.zeros(1024, 32), torch.ones(1024, 16)], dim=1)
    context = attention.tokens(qkv, p)[:, ::2]  # one column a head
    assert context.mean().item() == pytest.approx(1.0, abs=4e-3)  # 5 standard errors
    assert context.std().item() == pytest.approx((p / (1 - p) / 256) ** 0.5, rel=0.05)
    assert not torch.equal(context, attention.tokens(qkv, p)[:, ::2])


def config_of(**settings):
    return BertConfig(**{"hidden_size": 384, "num_attention_heads": 12, **settings})


@pytest.mark.parametrize(
    ("precision", "settings", "capability", "problem"),
    [
        ("bf16", {}, (8, 0), None),
        ("bf16", {}, (9, 0), None),
        ("bf16", {"hidden_size": 1024, "num_attention_heads": 16}, (9, 0), None),
        ("fp32", {}, (9, 0), "precision is fp32"),
        ("bf16", {}, (7, 5), "compute capability 8.0"),
        ("bf16", {"hidden_size": 36, "num_attention_heads": 3}, (9, 0), "have 12"),
        ("bf16", {"hidden_size": 528, "num_attention_heads": 2}, (9, 0), "have 264"),
    ],
)
def test_where_flash_attention_can_be_used(monkeypatch, precision, settings, capability, problem):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    found = flash_problem(config_of(**settings), precision, CUDA)
    assert found is None if problem is None else problem in found


def test_a_warning_is_given_once_per_process(caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            warn_once("said in test_attention")
    assert [record.message for record in caplog.records] == ["said in test_attention"]


@pytest.mark.gpu
def test_flash_gives_the_context_of_the_reference():
    ours, theirs = inputs("cuda", torch.bfloat16), inputs("cuda", torch.bfloat16)
    contexts = []
    for (qkv, query, kv), op in ((ours, FLASH), (theirs, reference_flash)):
        attention = VarlenAttention(cu_seqlens("cuda"), 512, HEADS, op)
        context = torch.cat([attention.tokens(qkv, 0.0), attention.first(query, kv, 0.0)])
        (context.float() * torch.linspace(-1, 1, HIDDEN, device="cuda")).sum().backward()
        contexts.append(context)
    # bfloat16: 8 bits of values around 1
    torch.testing.assert_close(*contexts, rtol=0.02, atol=0.02)
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left.grad, right.grad, rtol=0.05, atol=0.05)


@pytest.mark.gpu
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_flash_drops_its_share_and_keeps_the_mean(p):
    # equal scores and values of one: the context is the share of probabilities kept, over 1 - p
    length, heads = 512, 64
    qkv = torch.zeros(length, 3, heads, 32, device="cuda", dtype=torch.bfloat16)
    qkv[:, 2] = 1
    ends = torch.tensor([0, length], dtype=torch.int32, device="cuda")
    attention = VarlenAttention(ends, length, heads)
    torch.manual_seed(0)
    first, second = (attention.tokens(qkv.view(length, -1), p).float() for _ in range(2))
    assert not torch.equal(first, second)
    # the kernel's masks have 8 bits: p = 0.1 is 26/256, so the mean is 0.998
    assert first.mean().item() == pytest.approx(1.0, abs=4e-3)
    expected = (p / (1 - p) / length) ** 0.5
    assert first[:, ::32].std().item() == pytest.approx(expected, rel=0.1)
    torch.manual_seed(0)
    assert torch.equal(first, attention.tokens(qkv.view(length, -1), p).float())
