"""A space of several losses: every point is a trial, with its own loss's hyperparameters alone."""

import pickle

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from search.dead import _Draw
from spaces import (
    AUTO_LOSSES,
    LOSS_SETTINGS,
    Space,
    auto_space,
    change_space,
    fix,
    parse_losses,
    space_for,
    split_fixed,
)
from trainable.config import LOSS_HYPERPARAMETERS, PAPER_LOSS_VALUES, TrialConfig
from trainable.errors import UsageError

LISTS = st.lists(st.sampled_from(list(LOSS_HYPERPARAMETERS)), min_size=2, unique=True)
FIXABLE = st.sets(st.sampled_from(sorted(PAPER_LOSS_VALUES)), max_size=3)


def config_of(space, **settings):
    first = space.losses[0]
    own = {k: v for k, v in space.fixed.items() if k in LOSS_HYPERPARAMETERS[first]}
    return TrialConfig(loss=first, **own, **settings).replace(**space.paper_point())


@given(losses=LISTS, fixed=FIXABLE, mu=st.floats(0.0, 1.0), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_every_point_is_a_trial_of_its_loss(losses, fixed, mu, seed):
    space = auto_space(losses, mu=mu)
    known = {name for loss in losses for name in LOSS_HYPERPARAMETERS[loss]}
    values = {name: 1.5 if name != "cb_beta" else 0.95 for name in fixed & known}
    space = Space(loss="auto", dimensions=fix(space, values).dimensions, fixed=values)
    start = config_of(space, batch_size=16)
    point = space.sample(_Draw(seed=seed))
    config = space.complete(start, point)

    loss = point["loss"]
    assert config.loss == loss in losses
    assert config.batch_size == 16
    own = LOSS_HYPERPARAMETERS[loss]
    assert {name for name in LOSS_SETTINGS if getattr(config, name) is not None} == set(own)
    for name in own:
        assert getattr(config, name) == (values[name] if name in values else point[name])
    assert set(point) == {"loss", "learning_rate", *own} - set(values)
    # a point of its loss's own space, too
    assert set(space.of_loss(loss).names) == set(point) - {"loss"}


@given(losses=LISTS, mu=st.floats(0.0, 1.0))
@settings(deadline=None, max_examples=20)
def test_it_begins_with_the_papers_values_of_each_loss(losses, mu):
    space = auto_space(losses, mu=mu)
    points = space.paper_points()
    assert space.losses == tuple(losses)
    assert [point["loss"] for point in points] == losses
    for loss, point in zip(losses, points, strict=True):
        single = space_for(loss, mu=mu)
        assert point == {"loss": loss, **single.paper_point()}
        alone = TrialConfig(loss=loss).replace(**single.paper_point())
        assert space.complete(config_of(space), point) == alone
        assert space.of_loss(loss) == single


def test_optuna_gets_the_queued_points_and_learns_by_group():
    space = auto_space(AUTO_LOSSES, mu=0.9)
    study = optuna.create_study(direction="maximize")
    for point in space.paper_points():
        study.enqueue_trial(dict(point))
    trials = [study.ask() for _ in AUTO_LOSSES]
    assert [space.sample(trial) for trial in trials] == list(space.paper_points())
    for trial in trials:
        study.tell(trial, 0.5)
    study.enqueue_trial({"loss": "bce", "gamma": 1.0})  # of another loss: not asked for
    assert set(space.sample(study.ask())) == {"loss", "learning_rate"}


def test_pickle_and_yaml_keep_it():
    space = Space(loss="auto", dimensions=auto_space(["cb", "db"], mu=0.9).dimensions)
    fixed = Space(
        loss="auto", dimensions=fix(space, ["cb_beta"]).dimensions, fixed={"cb_beta": 0.99}
    )
    for one in (space, fixed):
        assert pickle.loads(pickle.dumps(one)) == one
        assert Space.from_mapping(yaml.safe_load(yaml.safe_dump(one.to_mapping()))) == one
    # the file of a single loss is what it was
    assert set(space_for("db", mu=0.9).to_mapping()) == {"loss", "dimensions"}


def test_a_file_changes_what_all_losses_share():
    space = change_space(
        auto_space(["fl", "cb-ntr"], mu=None), {"gamma": {"high": 3.0}, "dropout": [0.1, 0.2]}
    )
    assert space.names == (
        "loss",
        "learning_rate",
        "gamma",
        "cb_beta",
        "kappa",
        "lambda_",
        "dropout",
    )
    assert {d.high for d in space.dimensions if d.name == "gamma"} == {3.0}
    assert fix(space, ["loss", "gamma"]).names[0] == "loss"


def test_names_of_losses():
    assert parse_losses("auto") == AUTO_LOSSES
    assert set(AUTO_LOSSES) == set(LOSS_HYPERPARAMETERS)
    assert parse_losses("db,cb-ntr,r-fl") == ("db", "cb-ntr", "r-fl")
    assert split_fixed(("bce", "cb"), {"gamma": 1.0, "loss": "bce,cb", "epochs": 3}) == (
        {"gamma": 1.0},
        {"loss": "bce,cb", "epochs": 3},
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: parse_losses("db,dbb"), "unknown loss 'dbb': did you mean 'db'?"),
        (lambda: parse_losses("db,"), "unknown loss ''"),
        (lambda: parse_losses("db,fl,db"), "--loss db,fl,db names a loss twice: leave one out"),
        (
            lambda: split_fixed(("bce", "fl"), {"mu": 0.9}),
            "none of the losses bce, fl has a hyperparameter 'mu': leave it out",
        ),
        (
            lambda: change_space(auto_space(["bce", "fl"], mu=None), {"mu": [0.1, 0.2]}),
            "space: none of the losses bce, fl has a hyperparameter 'mu': leave it out",
        ),
        (
            lambda: Space(loss="auto", dimensions=space_for("db", mu=0.9).dimensions),
            "space: loss 'auto' needs the choice of losses as its first dimension",
        ),
        (
            lambda: Space(loss="db", dimensions=auto_space(["db", "fl"], mu=0.9).dimensions),
            "space: is of loss 'db' alone, and 'loss' cannot be searched in it; search several "
            "with --loss auto",
        ),
        (
            lambda: Space.from_mapping({"loss": "auto", "dimensions": [], "fixed": 3}),
            "space: fixed must be a mapping, got 3",
        ),
    ],
)
def test_refusals(build, message):
    with pytest.raises(UsageError) as caught:
        build()
    assert str(caught.value).startswith(message)
