"""Head mode: a head on cached features, trained by the same loop as a whole encoder."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import tiny_encoded
from trainable.config import BEST_OBJECTIVE, TrialConfig
from trainable.datasets.records import SPLITS
from trainable.errors import UsageError
from trainable.head import HeadForward, build_head
from trainable.loop import TrainingSession

CPU = torch.device("cpu")


def bag_of_words(split):
    """Features [N, 45] that tell the labels: which word pieces a document has."""
    features = np.zeros((len(split), 45), dtype=np.float32)
    features[np.repeat(np.arange(len(split)), split.lengths), split.token_ids] = 1.0
    features.flags.writeable = False
    return dataclasses.replace(split, features=features)


def featured():
    data = tiny_encoded()
    splits = {name: bag_of_words(data.split(name)) for name in SPLITS}
    return dataclasses.replace(data, **splits)


@pytest.fixture
def session_of():
    def build(data=None, *, device=CPU, **changes):
        values = {
            "dataset": "tiny",
            "encoder": "none that could be read",
            "max_length": 32,
            "tune": "head",
            "head_hidden": 24,
            "loss": "db",
            "learning_rate": 1e-2,
            "batch_size": 8,
            "epochs": 20,
        }
        return TrainingSession(
            TrialConfig(**{**values, **changes}), data or featured(), device=device
        )

    return build


def numbers(result):
    return {name: value for name, value in result.items() if not name.startswith("time/")}


@pytest.mark.parametrize("hidden", [0, 24])
def test_it_learns_without_reading_the_encoder(session_of, hidden):
    session = session_of(head_hidden=hidden)
    results = [session.run_epoch() for _ in range(20)]
    assert results[-1]["train/loss"] < 0.5 * results[0]["train/loss"]
    assert results[-1][BEST_OBJECTIVE] > 0.8
    assert session.evaluate("test")["test/micro_f1"] > 0.7


@given(hidden=st.sampled_from([0, 1, 7]), docs=st.lists(st.integers(0, 19), min_size=1, max_size=9))
@settings(max_examples=20)
def test_logits_are_those_of_the_formula(hidden, docs):
    rng = np.random.default_rng(len(docs))
    split = dataclasses.replace(
        tiny_encoded().val, features=rng.normal(size=(20, 6)).astype(np.float32)
    )
    config = TrialConfig(tune="head", head_hidden=hidden, dropout=0.3, seed=hidden)
    head = build_head(config, num_features=6, num_labels=5, device=CPU)
    found = HeadForward(model=head).inference(split, np.asarray(docs))
    weights = {name: p.detach().double().numpy() for name, p in head.named_parameters()}
    x = split.features[docs].astype(np.float64)
    if hidden:
        x = x @ weights["hidden.weight"].T + weights["hidden.bias"]
        x = x * 0.5 * (1 + torch.erf(torch.from_numpy(x) / 2**0.5).numpy())
    expected = x @ weights["classifier.weight"].T + weights["classifier.bias"]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_same_seed_same_numbers_another_seed_others(session_of):
    first, same, other = (session_of(seed=seed) for seed in (3, 3, 4))
    results = [[numbers(session.run_epoch()) for _ in range(3)] for session in (first, same, other)]
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_dropout_acts_in_training_only(session_of):
    with_it, without = session_of(dropout=0.5), session_of(dropout=0.0)
    assert with_it.evaluate("val") == without.evaluate("val")
    assert with_it.run_epoch()["train/loss"] != without.run_epoch()["train/loss"]


def test_a_saved_state_goes_on_with_the_same_numbers(session_of):
    straight, broken = session_of(), session_of()
    expected = [numbers(straight.run_epoch()) for _ in range(4)][-1]
    for _ in range(2):
        broken.run_epoch()
    resumed = session_of()
    resumed.load_state_dict(broken.state_dict())
    resumed.run_epoch()
    assert numbers(resumed.run_epoch()) == expected


@pytest.mark.gpu
@pytest.mark.parametrize("hidden", [0, 24])
def test_a_gpu_trains_the_same_head(session_of, hidden):
    there = session_of(device=torch.device("cuda"), head_hidden=hidden, dropout=0.0)
    here = session_of(head_hidden=hidden, dropout=0.0)
    for _ in range(5):
        on_gpu, on_cpu = there.run_epoch(), here.run_epoch()
        assert on_gpu["train/loss"] == pytest.approx(on_cpu["train/loss"], rel=1e-3)
    assert on_gpu[BEST_OBJECTIVE] == pytest.approx(on_cpu[BEST_OBJECTIVE], abs=0.05)


def test_head_hidden_has_a_default_and_belongs_to_head_mode():
    assert TrialConfig(tune="head").head_hidden == 512
    assert TrialConfig().head_hidden is None
    with pytest.raises(UsageError, match="setting 'head_hidden' is of tune=head"):
        TrialConfig(head_hidden=3)
    with pytest.raises(UsageError, match="all"):
        TrialConfig(tune="heads")
