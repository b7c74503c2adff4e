"""Ranges from a file: what is kept, what is added, and every refusal with its text."""

import pytest
import yaml

from spaces import Dimension, Space, change_space, fix, space_for
from trainable.errors import UsageError

SPACE = space_for("db", mu=0.9)


def changed(text, space=SPACE):
    return change_space(space, yaml.safe_load(text))


def dimension(space, name):
    return next(entry for entry in space.dimensions if entry.name == name)


def test_a_new_range_keeps_role_paper_and_what_is_left_out():
    space = changed("learning_rate: {high: 0.01}\ngamma: {low: 1, high: 3}")
    rate, gamma = dimension(space, "learning_rate"), dimension(space, "gamma")
    assert (rate.low, rate.high, rate.log, rate.paper) == (1e-5, 0.01, True, 1e-4)
    assert (gamma.low, gamma.high, gamma.role) == (1, 3, "scientific")
    assert space.names == SPACE.names
    assert dimension(SPACE, "gamma").high == 4.0


def test_yaml_reads_1e_5_as_text_and_we_as_a_number():
    space = changed("learning_rate: {low: 1e-6, high: 1e-2}\nweight_decay: [1e-4, 0.01]")
    assert dimension(space, "learning_rate").low == 1e-6
    assert dimension(space, "weight_decay").choices == (1e-4, 0.01)


def test_choices_replace_a_range_and_a_range_choices():
    space = changed("kappa: [0.0, 0.05]")
    assert dimension(space, "kappa").choices == (0.0, 0.05)
    assert not dimension(space, "kappa").log
    space = change_space(space, {"kappa": {"low": 0.0, "high": 0.1}})
    assert (dimension(space, "kappa").low, dimension(space, "kappa").choices) == (0.0, None)
    space = change_space(space, {"kappa": {"choices": [0.1, 0.2]}})
    assert dimension(space, "kappa").choices == (0.1, 0.2)


def test_more_settings_are_nuisance_dimensions():
    space = changed(
        "batch_size: {low: 8, high: 64, log: true}\nlr_schedule: [constant, linear]\n"
        "warmup_fraction: {low: 0, high: 0.2}"
    )
    batch_size = dimension(space, "batch_size")
    assert batch_size.integer
    assert (batch_size.role, batch_size.paper) == ("nuisance", 32)
    assert space.paper_point()["lr_schedule"] == "constant"
    assert space.names[-3:] == ("batch_size", "lr_schedule", "warmup_fraction")


def test_a_fixed_hyperparameter_may_come_back():
    space = change_space(fix(SPACE, ["gamma"]), {"gamma": [1.0, 2.0]})
    assert (dimension(space, "gamma").role, dimension(space, "gamma").paper) == ("scientific", 2.0)


@pytest.mark.parametrize(
    ("text", "name", "nearest"),
    [
        ("gamma: {low: 3, high: 4}", "gamma", 3.0),
        ("gamma: [0.5, 1.0]", "gamma", 1.0),
        ("batch_size: {low: 48, high: 64}", "batch_size", 48),
        ("lr_schedule: [linear, constant]", "lr_schedule", "constant"),
    ],
)
def test_without_the_papers_value_trial_0_takes_the_nearest(text, name, nearest):
    space = changed(text)
    assert space.paper_point()[name] == nearest
    left_out = dimension(space, name).paper != nearest
    assert space.without_paper_value == ((name,) if left_out else ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gama": [1, 2]}, "unknown setting in the space 'gama': did you mean 'gamma'? Allowed: "),
        (
            {"loss": ["db", "fl"]},
            "space: 'loss' has no place there: search several with ",
        ),
        (
            {"cb_beta": [0.9, 0.99]},
            "space: loss 'db' has no hyperparameter 'cb_beta': its formula uses gamma, alpha, "
            "beta, mu, kappa, lambda_; leave 'cb_beta' out",
        ),
        (
            {"gamma": {"low": 3.0, "high": 1.0}},
            "space: low < high must hold for 'gamma', got low 3.0, high 1.0",
        ),
        (
            {"gamma": {"low": 2.0, "high": 2.0}},
            "space: low < high must hold for 'gamma', got low 2.0, high 2.0; "
            "to fix a setting use --set",
        ),
        (
            {"learning_rate": {"low": 0}},
            "space: setting 'learning_rate' must lie in (0, 1], got 0",
        ),
        ({"gamma": {"high": 30}}, "space: setting 'gamma' must lie in [0, 20], got 30"),
        (
            {"kappa": {"low": 0.0}},
            "space: a logarithmic range needs low > 0, got 0.0 for 'kappa'; "
            "raise low or set log: false",
        ),
        (
            {"gamma": {"low": 0, "log": True}},
            "space: a logarithmic range needs low > 0, got 0 for 'gamma'; "
            "raise low or set log: false",
        ),
        (
            {"gamma": {"low": 1, "hihg": 2}},
            "unknown key of 'gamma' in the space 'hihg': did you mean 'high'? "
            "Allowed: low, high, log, choices",
        ),
        ({"dropout": {"low": 0.1}}, "space: 'dropout' needs both low and high, high is missing"),
        (
            {"gamma": {"low": "small"}},
            "space: low of 'gamma' must be a number, got 'small'",
        ),
        ({"gamma": {"low": True}}, "space: low of 'gamma' must be a number, got True"),
        ({"gamma": {"high": float("nan")}}, "space: high of 'gamma' must be a number, got nan"),
        ({"gamma": {"high": float("inf")}}, "space: high of 'gamma' must be a number, got inf"),
        ({"gamma": {"log": "yes"}}, "space: log of 'gamma' must be true or false: 'yes'"),
        (
            {"batch_size": {"low": 8.5, "high": 16}},
            "space: setting 'batch_size' must be of type int, got 8.5",
        ),
        ({"batch_size": [16, 0]}, "space: setting 'batch_size' must lie in [1, 4096], got 0"),
        (
            {"lr_schedule": {"low": 1, "high": 2}},
            "space: 'lr_schedule' is no number: give a list of choices, not a range",
        ),
        ({"lr_schedule": ["cosine", "linear"]}, "space: unknown lr_schedule 'cosine': "),
        ({"gamma": []}, "space: 'gamma' needs at least two choices, got []; "),
        ({"gamma": [1.0]}, "space: 'gamma' needs at least two choices, got [1.0]; "),
        ({"gamma": [1.0, 1.0]}, "space: choices of 'gamma' repeat a value: [1.0, 1.0]"),
        ({"gamma": [1.0, None]}, "space: a choice of 'gamma' is empty: [1.0, None]"),
        ({"gamma": [[1.0], 2.0]}, "space: setting 'gamma' must be of type float, got [1.0]"),
        (
            {"gamma": {"low": 1, "choices": [1, 2]}},
            "space: 'gamma' has a range and choices: leave one of them out",
        ),
        (
            {"gamma": 2.0},
            "space: 'gamma' must be a list of choices or a mapping with low and high, got 2.0; "
            "to fix a setting use --set gamma=VALUE",
        ),
        ({"gamma": None}, "space: 'gamma' must be a list of choices or a mapping"),
        (["gamma"], "space: must be a mapping of settings to ranges, got ['gamma']"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(UsageError) as caught:
        change_space(SPACE, changes)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("db", "space: must be a mapping, got 'db'"),
        ({"loss": "db"}, "space: dimensions must be a list, got None"),
        ({"loss": "bd", "dimensions": []}, "unknown loss 'bd': did you mean 'db'?"),
        ({"los": "db"}, "unknown key of the space 'los': did you mean 'loss'?"),
        ({"loss": "db", "dimensions": ["gamma"]}, "space: a dimension must be a mapping, "),
        ({"loss": "db", "dimensions": [{"low": 1}]}, "space: a dimension has no name: {'low': 1}"),
        (
            {"loss": "db", "dimensions": [{"name": "gamma", "lo": 1}]},
            "unknown key of a dimension in the space 'lo': did you mean 'low'?",
        ),
        (
            {"loss": "db", "dimensions": [{"name": "gamma", "choices": "many"}]},
            "space: choices of 'gamma' must be a list, got 'many'",
        ),
        (
            {"loss": "db", "dimensions": [{"name": "gamma", "low": 1.0, "high": 2.0}] * 2},
            "space: a setting is named twice: gamma, gamma",
        ),
    ],
)
def test_from_mapping_refusals(values, message):
    with pytest.raises(UsageError) as caught:
        Space.from_mapping(values)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "gamma"}, "space: low of 'gamma' must be a number, got None"),
        (
            {"name": "gamma", "low": 1.0, "high": 2.0, "role": "main"},
            "unknown role 'main': Allowed: scientific, nuisance",
        ),
        (
            {"name": "gamma", "low": 1.0, "choices": (1.0, 2.0)},
            "space: 'gamma' has a range and choices: leave one of them out",
        ),
        (
            {"name": "gama", "low": 1.0, "high": 2.0},
            "unknown setting 'gama': did you mean 'gamma'?",
        ),
    ],
)
def test_dimension_refusals(fields, message):
    with pytest.raises(UsageError) as caught:
        Dimension(**fields)
    assert str(caught.value).startswith(message)
