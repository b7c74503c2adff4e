"""What is searched for each loss: sampled points, the paper's point, pickle, YAML."""

import pickle
from pathlib import Path

import optuna
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import spaces
from spaces import SPACE_COLUMNS, Dimension, Space, change_space, fix, space_for, space_rows
from trainable.config import LOSS_HYPERPARAMETERS, PAPER_LOSS_VALUES, TrialConfig
from trainable.errors import UsageError
from trainable.losses import LOSSES, build_loss

ALL = pytest.mark.parametrize("loss", LOSSES)


def sampled_points(space, number=40):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.sample(study.ask()) for _ in range(number)]


@pytest.fixture(autouse=True)
def quiet_optuna():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_the_package_is_ours():
    assert Path(spaces.__file__).parent == Path(__file__).resolve().parents[2] / "spaces"


@ALL
def test_learning_rate_and_exactly_the_hyperparameters_of_the_formula(loss):
    assert space_for(loss, mu=0.9).names == ("learning_rate", *LOSS_HYPERPARAMETERS[loss])


@ALL
def test_every_sampled_point_is_a_trial(loss):
    space = change_space(
        space_for(loss, mu=0.906), {"dropout": {"low": 0, "high": 0.4}, "batch_size": [16, 32]}
    )
    for point in sampled_points(space):
        config = TrialConfig(loss=loss).replace(**point)
        assert {name: getattr(config, name) for name in point} == point


@ALL
def test_the_papers_point_is_the_papers_values(loss):
    point = space_for(loss, mu=0.9).paper_point()
    expected = {name: {**PAPER_LOSS_VALUES, "mu": 0.9}[name] for name in LOSS_HYPERPARAMETERS[loss]}
    assert point == {"learning_rate": 1e-4, **expected}
    # an enqueued trial gets exactly these values
    study = optuna.create_study()
    study.enqueue_trial(point)
    assert space_for(loss, mu=0.9).sample(study.ask()) == point


@ALL
def test_every_searched_hyperparameter_matters(loss):
    """Two values of a range give two losses: nothing searched is dead."""
    space = space_for(loss, mu=0.8)
    generator = torch.Generator().manual_seed(0)
    logits_BL = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    targets_BL = torch.eye(4)[[0, 1, 2, 3, 0, 1]]
    targets_BL[0, 1] = targets_BL[3, 0] = 1
    point = {name: value for name, value in space.paper_point().items() if name != "learning_rate"}
    for dimension in space.dimensions[1:]:
        ends = dimension.choices or (dimension.low, dimension.high)
        found = {
            build_loss(
                loss,
                label_counts=[50, 20, 8, 1],
                num_examples=100,
                **{**point, dimension.name: end},
            )(logits_BL, targets_BL).item()
            for end in ends
        }
        assert len(found) == len(ends), dimension.name


@ALL
def test_pickle_and_yaml_keep_the_space(loss):
    space = space_for(loss, mu=0.049)
    assert pickle.loads(pickle.dumps(space)) == space
    assert Space.from_mapping(yaml.safe_load(yaml.safe_dump(space.to_mapping()))) == space
    assert pickle.loads(pickle.dumps(space.sample))  # define-by-run, through Tune


@pytest.mark.parametrize(
    ("mu", "low", "high"),
    [(0.906, 0.806, 1.0), (0.049, 0.0, 0.149), (0.5, 0.4, 0.6), (1.0, 0.9, 1.0)],
)
def test_mu_is_around_the_data_estimate(mu, low, high):
    dimension = space_for("db", mu=mu).dimensions[4]
    assert (dimension.name, dimension.paper) == ("mu", mu)
    assert (dimension.low, dimension.high) == pytest.approx((low, high))
    assert f"the data estimate {mu:.4g}" in dimension.reason


def test_mu_without_data_is_the_papers():
    dimension = space_for("r-fl", mu=None).dimensions[4]
    assert dimension.paper == 0.9
    assert "the paper's value for Reuters" in dimension.reason


def test_ranges_and_roles():
    space = space_for("db", mu=0.9)
    by_name = {dimension.name: dimension for dimension in space.dimensions}
    learning_rate = by_name.pop("learning_rate")
    assert (learning_rate.low, learning_rate.high, learning_rate.log) == (1e-5, 1e-3, True)
    assert learning_rate.role == "nuisance"
    assert {dimension.role for dimension in by_name.values()} == {"scientific"}
    for dimension in space.dimensions:
        assert dimension.reason
        assert dimension.contains(dimension.paper)
    assert space.without_paper_value == ()


def test_unknown_loss():
    with pytest.raises(UsageError, match="unknown loss 'bd': did you mean 'db'"):
        space_for("bd", mu=None)


def test_rows_for_the_console():
    space = change_space(space_for("cb", mu=None), {"epochs": {"low": 2, "high": 40}})
    rows = {row[0]: row for row in space_rows(space)}
    assert all(len(row) == len(SPACE_COLUMNS) for row in rows.values())
    assert rows["learning_rate"][1:5] == ("1e-05 .. 0.001", "logarithmic", "0.0001", "nuisance")
    assert rows["cb_beta"][1:5] == ("0.9, 0.99, 0.999, 0.9999", "choices", "0.9", "scientific")
    assert rows["epochs"][1:5] == ("2 .. 40", "linear, integer", "40", "nuisance")


def test_fix_drops_dimensions():
    space = space_for("db", mu=0.9)
    fixed = fix(space, ["gamma", "mu", "dropout"])
    assert fixed.names == ("learning_rate", "alpha", "beta", "kappa", "lambda_")
    assert len(space.names) == 7


ENDS = st.floats(0.001, 0.9)


@st.composite
def any_space(draw):
    loss = draw(st.sampled_from(LOSSES))
    space = space_for(loss, mu=draw(st.one_of(st.none(), st.floats(0, 1))))
    low, high = sorted(draw(st.lists(ENDS, min_size=2, max_size=2, unique=True)))
    changes = {
        "learning_rate": {"low": low, "high": high, "log": draw(st.booleans())},
        "dropout": draw(st.lists(ENDS, min_size=2, max_size=4, unique=True)),
        "lr_schedule": ["constant", "linear"],
        "epochs": {"low": 1, "high": draw(st.integers(2, 50)), "log": draw(st.booleans())},
    }
    chosen = draw(st.sets(st.sampled_from(sorted(changes))))
    return change_space(space, {name: changes[name] for name in sorted(chosen)})


@settings(max_examples=50, deadline=None)
@given(space=any_space())
def test_round_trip_and_paper_point_of_any_space(space):
    assert Space.from_mapping(yaml.safe_load(yaml.safe_dump(space.to_mapping()))) == space
    point = space.paper_point()
    trial = optuna.trial.FixedTrial(point)
    assert space.sample(trial) == point
    for dimension in space.dimensions:
        assert dimension.contains(point[dimension.name])
        assert point[dimension.name] == dimension.paper or (
            dimension.name in space.without_paper_value
        )


def test_a_dimension_is_frozen():
    with pytest.raises(AttributeError):
        Dimension(name="gamma", low=0.0, high=4.0).low = 1.0
