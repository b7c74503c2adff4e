"""A searched setting that changes nothing is refused, with the reason; a live one never."""

import pytest

from search.dead import check_alive
from spaces import change_space, fix, space_for
from tests.small_search import small_spec
from tests.tiny import tiny_encoded, with_features
from trainable.config import LOSS_HYPERPARAMETERS, TrialConfig
from trainable.errors import UsageError


def spec_of(loss="bce", *, tune="head", changes=None, fixed=(), **settings):
    mu = {"mu": 0.6} if "mu" in LOSS_HYPERPARAMETERS[loss] else {}
    config = TrialConfig(loss=loss, tune=tune, epochs=6, **mu)
    space = fix(change_space(space_for(loss, mu=config.mu, tune=tune), changes or {}), fixed)
    config = config.replace(**{**space.paper_point(), **settings})
    return small_spec("/nowhere", config=config, space=space)


@pytest.fixture(scope="module")
def data():
    return with_features(tiny_encoded())


@pytest.mark.parametrize("tune", ["all", "head"])
@pytest.mark.parametrize("loss", LOSS_HYPERPARAMETERS)
def test_the_default_spaces_are_alive(loss, tune, data):
    assert check_alive(spec_of(loss, tune=tune), data) == []


EVERYTHING = {
    "dropout": {"low": 0.0, "high": 0.5},
    "weight_decay": {"low": 1e-3, "high": 0.1, "log": True},
    "batch_size": {"low": 8, "high": 32},
    "epochs": {"low": 4, "high": 6},
    "warmup_fraction": {"low": 0.0, "high": 0.2},
    "lr_schedule": ["constant", "linear"],
    "max_grad_norm": {"low": 0.0, "high": 5.0},
    "head_hidden": [0, 64],
    "loss_formula": ["released", "paper"],
}


def test_a_wide_space_is_alive(data):
    assert check_alive(spec_of("db", changes=EVERYTHING), data) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            spec_of("db", fixed=["beta"], beta=1e-9),
            r"the searched setting 'mu' \(0.5 to 0.7: loss and gradient are equal to 1\d digits\) "
            r"changes neither loss nor update: fix it with --set mu=0.6, or take it out of --space",
        ),
        (
            spec_of(changes={"loss_formula": ["released", "paper"]}),
            r"'loss_formula' \(released, paper: loss and gradient are equal to 15 digits\)",
        ),
        (
            spec_of(changes={"batch_size": [64, 256]}),
            r"'batch_size' \(64, 256: the 6 steps of a training have the same learning rates and "
            r"documents\) .*: fix it with --set batch_size=64,",
        ),
        (
            spec_of(tune="all", changes={"max_length": {"low": 40, "high": 60}}),
            r"'max_length' \(40 to 60: the longest document has \d\d word pieces\)",
        ),
        (
            spec_of(changes={"weight_decay": {"low": 0.0, "high": 1e-9}}),
            r"'weight_decay' \(0 to 1e-09: the parameters after two steps are equal to the last",
        ),
        (
            spec_of(changes={"batch_size": [64, 256], "loss_formula": ["released", "paper"]}),
            r"searched settings change neither loss nor update: 'batch_size' \(.*\); "
            r"'loss_formula' \(.*\): fix each of them \(--set batch_size=64\), or take them out of",
        ),
    ],
)
def test_a_dead_one_is_refused(spec, message, data):
    with pytest.raises(UsageError, match=message):
        check_alive(spec, data)


def test_what_lives_elsewhere_in_the_space_is_alive(data):
    """At trial 0's beta mu changes nothing; at nearly all others it does."""
    spec = spec_of("db", changes={"beta": {"low": 1e-9, "high": 40.0, "log": True}}, beta=1e-9)
    assert check_alive(spec, data) == []


def test_equal_ends_and_another_middle_are_alive(data):
    """Batches of 60 and more are the whole data, one of 30 is half of them."""
    assert check_alive(spec_of(changes={"batch_size": [64, 30, 256]}), data) == []


def test_clipping_that_is_idle_is_a_warning(data):
    idle = spec_of(changes={"max_grad_norm": [0.0, 1e5]})
    assert check_alive(idle, data) == [
        "max_grad_norm from 100000 on clips no gradient of the first steps: lower its range, or "
        "take it out of --space"
    ]
    assert check_alive(spec_of(changes={"max_grad_norm": [1e-4, 1e5]}), data) == []


def test_nothing_to_search_is_nothing_dead(data):
    assert check_alive(spec_of(fixed=["learning_rate"]), data) == []
