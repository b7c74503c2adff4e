"""The grace period against the learning rate that trials really have."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.grace import least_grace, preset_grace
from search.presets import PRESETS
from spaces import change_space, space_for
from trainable.config import TrialConfig
from trainable.optim import learning_rate_at

SPACE = space_for("bce", mu=None)
STEPS = 7


def config_of(**changes):
    return TrialConfig(loss="bce", **changes)


def epochs_of_warmup(config):
    """Epochs that begin below the full learning rate, counted from the schedule itself."""
    rates = [
        learning_rate_at(step, total_steps=config.epochs * STEPS, config=config)
        for step in range(config.epochs * STEPS)
    ]
    starts = rates[::STEPS]
    return sum(1 for _ in itertools.takewhile(lambda rate: rate < config.learning_rate, starts))


@given(st.floats(0.0, 0.99), st.integers(1, 40))
def test_it_leaves_an_epoch_after_the_warmup(fraction, epochs):
    config = config_of(warmup_fraction=fraction, epochs=epochs)
    least = least_grace(config, SPACE)
    assert least >= min(epochs, epochs_of_warmup(config)) + (epochs_of_warmup(config) < epochs)
    assert least <= fraction * epochs + 2


@pytest.mark.parametrize(
    ("settings", "changes", "least"),
    [
        ({}, {}, 1),
        ({"warmup_fraction": 0.1}, {}, 4),
        ({"warmup_fraction": 0.1, "epochs": 10}, {}, 2),
        ({"warmup_fraction": 0.1}, {"epochs": [10, 60]}, 7),
        ({}, {"warmup_fraction": {"low": 0.0, "high": 0.2}}, 7),
        ({}, {"warmup_fraction": [0.0, 0.3], "epochs": {"low": 5, "high": 20}}, 7),
    ],
)
def test_it_covers_the_longest_warmup_that_the_space_allows(settings, changes, least):
    config = config_of(**{"epochs": 30, **settings})
    assert least_grace(config, change_space(SPACE, changes) if changes else SPACE) == least


def test_a_preset_is_shrunk_by_few_epochs_and_raised_by_a_warmup():
    preset = PRESETS["paper"]
    assert preset_grace(preset, config_of(epochs=40), SPACE) == preset.grace_period
    assert preset_grace(preset, config_of(epochs=4), SPACE) == 2
    assert preset_grace(preset, config_of(epochs=1), SPACE) == 1
    assert preset_grace(preset, config_of(epochs=40, warmup_fraction=0.25), SPACE) == 11
    assert preset_grace(preset, config_of(epochs=4, warmup_fraction=0.5), SPACE) == 3
