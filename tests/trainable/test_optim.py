"""Which parameters decay, and the learning rate of every step."""

import pytest
import torch
from torch import nn

from trainable.config import TrialConfig
from trainable.optim import build_optimizer, learning_rate_at, set_learning_rate


def rates(total_steps, **settings):
    config = TrialConfig(loss="bce", learning_rate=0.5, **settings)
    return [learning_rate_at(s, total_steps=total_steps, config=config) for s in range(total_steps)]


def test_constant():
    assert rates(4) == [0.5] * 4


def test_constant_after_warm_up():
    assert rates(10, warmup_fraction=0.4) == pytest.approx([0.125, 0.25, 0.375, 0.5, *[0.5] * 6])


def test_linear_reaches_zero_after_the_last_step():
    assert rates(5, lr_schedule="linear") == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])


def test_linear_with_warm_up_agrees_with_transformers_after_the_peak():
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    reference = get_linear_schedule_with_warmup(optimizer, 20, 100)
    expected = [0.5 * reference.lr_lambdas[0](step) for step in range(100)]
    ours = rates(100, warmup_fraction=0.2, lr_schedule="linear")
    assert ours[20:] == pytest.approx(expected[20:])
    # theirs wastes the first step on a rate of zero, ours is one step ahead
    assert ours[:20] == pytest.approx(expected[1:21])


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_rates_are_positive_to_the_end(schedule):
    for total in (1, 2, 3, 7):
        got = rates(total, lr_schedule=schedule, warmup_fraction=0.9)
        assert all(0 < rate <= 0.5 for rate in got)


def test_biases_and_layer_norms_do_not_decay():
    model = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    optimizer = build_optimizer(model, TrialConfig(loss="bce", weight_decay=0.3))
    decay = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert {name: decay[id(p)] for name, p in model.named_parameters()} == {
        "0.weight": 0.3,
        "1.weight": 0.3,
        "1.bias": 0.0,
        "2.weight": 0.0,
        "2.bias": 0.0,
    }


def test_weight_decay_reaches_the_weights():
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer = build_optimizer(layer, TrialConfig(loss="bce", weight_decay=0.5, learning_rate=0.1))
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    set_learning_rate(optimizer, 0.1)
    optimizer.step()
    assert torch.allclose(layer.weight, before[0] * (1 - 0.1 * 0.5))
    assert torch.equal(layer.bias, before[1])
