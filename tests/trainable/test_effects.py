"""What a setting changes: alive ones differ, dead ones do not; against what the formulas say."""

import dataclasses

import pytest

from search.spec_checks import FIXED_IN_A_SEARCH, FIXED_IN_HEAD_MODE
from tests.tiny import encoded_split, tiny_encoded, tiny_encoder, with_features
from trainable.config import LOSS_HYPERPARAMETERS, PAPER_LOSS_VALUES, TrialConfig, setting_names
from trainable.effects import SAME, Effects, aspect_of

VALUES = {
    "learning_rate": (1e-4, 2e-4),
    "batch_size": (8, 9),
    "epochs": (2, 3),
    "weight_decay": (0.0, 0.01),
    "warmup_fraction": (0.0, 0.2),
    "lr_schedule": ("constant", "linear"),
    "max_grad_norm": (0.0, 1e-3),
    "dropout": (0.0, 0.1),
    "attention_dropout": (0.0, 0.1),
    "max_length": (12, 20),
    "head_hidden": (0, 16),
    "loss_formula": ("released", "paper"),
    "gamma": (0.0, 1e-3),
    "cb_beta": (0.9, 0.91),
    "alpha": (0.1, 0.1001),
    "beta": (10.0, 10.01),
    "mu": (0.5, 0.5001),
    "kappa": (0.0, 1e-4),
    "lambda_": (2.0, 2.001),
}
"""Of every setting that a search may sample: nearer than any search would have them."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(tiny_encoder(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def effects():
    return Effects(with_features(tiny_encoded()))


def test_every_searchable_setting_is_tried_here():
    assert set(VALUES) == set(setting_names()) - FIXED_IN_A_SEARCH - {"loss"}


@pytest.mark.parametrize("tune", ["head", "all"])
@pytest.mark.parametrize("name", VALUES)
def test_a_setting_that_lives_is_seen(name, tune, effects, encoder):
    if name in (FIXED_IN_HEAD_MODE if tune == "head" else {"head_hidden"}):
        return
    losses = [loss for loss, used in LOSS_HYPERPARAMETERS.items() if name in used]
    for loss in losses or ["db"]:
        config = TrialConfig(loss=loss, tune=tune, encoder=encoder, epochs=4)
        if "mu" in LOSS_HYPERPARAMETERS[loss]:
            config = config.replace(mu=0.5)
        one, other = (config.replace(**{name: value}) for value in VALUES[name])
        assert effects.difference(name, one, other) > (SAME if aspect_of(name) == "loss" else 0.0)
        assert effects.difference(name, one, one) == 0.0


def test_without_an_estimate_mu_is_that_of_the_data(effects):
    config = TrialConfig(loss="r-fl", tune="head")
    estimated = config.replace(mu=effects._stats.mu_estimate)
    assert effects.difference("mu", config, estimated) == 0.0


def bce(**settings):
    return TrialConfig(loss="bce", tune="head", **settings)


DEAD = {
    # the printed binary cross-entropy is the released one
    "loss_formula": (bce(loss_formula="released"), bce(loss_formula="paper")),
    # 60 documents make one batch either way
    "batch_size": (bce(batch_size=60), bce(batch_size=4000)),
    # no document is longer than 32
    "max_length": (bce(max_length=32), bce(max_length=500)),
    # 2 epochs of 2 steps: a tenth of them is none
    "warmup_fraction": (bce(epochs=2, warmup_fraction=0.1), bce(epochs=2)),
    # lost in float32 at any step: 1 - 1e-4 * 1e-6 is 1
    "weight_decay": (bce(weight_decay=0.0), bce(weight_decay=1e-6)),
    # a gradient of mean losses has no such norm
    "max_grad_norm": (bce(max_grad_norm=1e6), bce(max_grad_norm=1e9)),
}


@pytest.mark.parametrize("name", DEAD)
def test_a_dead_setting_changes_nothing(name, effects):
    assert effects.difference(name, *DEAD[name]) == 0.0


def test_a_single_step_has_no_schedule():
    data = tiny_encoded(train=20)
    one, other = bce(epochs=1), bce(epochs=1, lr_schedule="linear")
    assert Effects(data).difference("lr_schedule", one, other) == 0.0
    assert Effects(data).steps(one) == 1


def labelled(*labels):
    data = tiny_encoded()
    count = 1 + max(label for some in labels for label in some)
    return dataclasses.replace(
        data,
        label_names=tuple("abcd"[:count]),
        groups=("head",) * count,
        train=encoded_split([[2, 3]] * len(labels), labels),
    )


def test_loss_hyperparameters_that_the_counts_kill():
    """(1 - b) / (1 - b ** 1) is 1; log(N / n - 1) of half the documents is 0."""
    once = Effects(labelled([0], [1], [2], [3]))
    cb = TrialConfig(loss="cb")
    assert once.difference("cb_beta", cb, cb.replace(cb_beta=0.9999)) <= SAME
    half = Effects(labelled([0, 2], [0, 3], [1, 2], [1, 3]))
    ntr = TrialConfig(loss="ntr-fl")
    assert half.difference("kappa", ntr, ntr.replace(kappa=5.0)) <= SAME
    assert once.difference("kappa", ntr, ntr.replace(kappa=0.06)) > SAME


def test_more_documents_are_asked_before_a_loss_is_dead(monkeypatch):
    """Two labels as common: r is 1, and the weight at mu = 1 the same for any slope; but for the
    document that has both."""
    effects = Effects(labelled([0], [1], [0, 1], [0], [1]))
    one = TrialConfig(loss="r-fl", mu=1.0)
    other = one.replace(beta=20.0)
    monkeypatch.setattr("trainable.effects._ELEMENTS", (4,))
    assert effects.difference("beta", one, other) == 0.0
    monkeypatch.setattr("trainable.effects._ELEMENTS", (4, 1000))
    assert effects.difference("beta", one, other) > SAME


def test_names_of_loss_settings_are_complete():
    assert all(aspect_of(name) == "loss" for name in (*PAPER_LOSS_VALUES, "mu"))
