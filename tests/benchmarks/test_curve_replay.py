"""Searches over a small invented table: what is found, what is spent, what a proposal is given."""

import math

import pytest

from benchmarks.curve_replay import (
    Answers,
    Setting,
    asha_alone,
    distance,
    epochs_of,
    promotion_search,
    random_search,
    rungs,
    sampler_alone,
    stock_search,
    this_search,
)
from benchmarks.curve_table import CURVE_METRICS, Curve, CurveTable
from benchmarks.tabulate import draw_params
from spaces import change_space, space_for
from trainable.config import BEST_OBJECTIVE, OBJECTIVE

EPOCHS = 9
SPACE = space_for("db", mu=0.9, tune="head")


def invented(number):
    """A configuration is as good as its learning rate is near 1e-3, and all learn alike."""
    params = draw_params(SPACE, 0, number)
    top = 0.9 - 0.1 * abs(math.log10(params["learning_rate"]) + 3)
    scores = tuple(round(top * (1 - 0.5**epoch), 5) for epoch in range(1, EPOCHS + 1))
    return Curve(
        loss="db",
        number=number,
        params=params,
        metrics=dict.fromkeys(CURVE_METRICS, scores),
        epoch_s=(0.5,) * EPOCHS,
    )


@pytest.fixture(scope="module")
def setting():
    # without the paper's values, which this table has as its best
    table = CurveTable(head={"epochs": EPOCHS}, curves=tuple(map(invented, range(1, 31))))
    target = max(curve.best for curve in table.curves) - 1e-6
    return Setting(table=table, space=SPACE, grace_period=1, reduction_factor=3, target=target)


@pytest.mark.parametrize(
    "strategy",
    [random_search, stock_search, this_search, sampler_alone, asha_alone, promotion_search],
)
def test_a_search_finds_the_best_and_says_what_it_took(setting, strategy):
    spent = strategy(setting, 0)
    assert spent.reached
    assert 1 <= spent.trials <= 30
    assert EPOCHS <= spent.epochs <= 30 * EPOCHS
    assert spent.seconds >= 0.5 * spent.epochs / setting.workers
    assert strategy(setting, 0) == spent


def test_random_search_trains_everything_else_to_the_end(setting):
    all_of_it = random_search(
        Setting(table=setting.table, space=SPACE, grace_period=1, reduction_factor=3, target=2.0), 0
    )
    assert (all_of_it.reached, all_of_it.trials, all_of_it.epochs) == (False, 30, 30 * EPOCHS)


def test_asha_spends_fewer_epochs_where_early_scores_tell(setting):
    ours = [this_search(setting, seed).epochs for seed in range(4)]
    theirs = [random_search(setting, seed).epochs for seed in range(4)]
    assert sum(ours) < sum(theirs)


def test_each_configuration_is_given_to_one_trial_and_the_nearest_first(setting):
    answers = Answers(setting)
    wanted = setting.curves[7].params
    first = list(answers.nearest(wanted))
    assert [row[OBJECTIVE] for _, row in first] == list(setting.curves[7].scores)
    others = sorted(
        (curve for curve in setting.curves if curve is not setting.curves[7]),
        key=lambda curve: distance(SPACE.dimensions, wanted, curve.params),
    )
    assert next(answers.nearest(wanted))[1][OBJECTIVE] == others[0].scores[0]
    for _ in range(28):
        assert answers.nearest(wanted) is not None
    assert answers.nearest(wanted) is None


def test_distances_are_of_the_unit_cube():
    space = space_for("cb", mu=None, tune="head")  # learning rate, gamma, cb_beta
    one = {"learning_rate": 1e-4, "gamma": 0.0, "cb_beta": 0.9}
    assert distance(space.dimensions, one, one) == 0
    assert distance(space.dimensions, one, {**one, "learning_rate": 1e-2}) == pytest.approx(1)
    assert distance(space.dimensions, one, {**one, "learning_rate": 1e-3}) == pytest.approx(0.5)
    assert distance(space.dimensions, one, {**one, "gamma": 2.0}) == pytest.approx(0.5)
    far = {"learning_rate": 1e-2, "gamma": 4.0, "cb_beta": 0.99}
    assert distance(space.dimensions, one, far) == pytest.approx(math.sqrt(3))
    whole = change_space(space, {"batch_size": {"low": 16, "high": 48}})
    sizes = [{**one, "batch_size": size} for size in (16, 32)]
    assert distance(whole.dimensions, *sizes) == pytest.approx(0.5)


def test_the_results_of_a_curve_are_those_of_a_trial():
    curve = Curve(
        loss="db",
        number=0,
        params={},
        metrics=dict.fromkeys(CURVE_METRICS, (0.0, 0.4, 0.3)),
        epoch_s=(1.0, 2.0, 3.0),
    )
    rows = list(epochs_of(curve, 3))
    assert [seconds for seconds, _ in rows] == [1.0, 2.0, 3.0]
    assert [row[BEST_OBJECTIVE] for _, row in rows] == [0.0, 0.4, 0.4]
    assert [row["best/epoch"] for _, row in rows] == [1, 2, 2]
    assert [row["done"] for _, row in rows] == [False, False, True]
    [*_, (_, failed)] = epochs_of(curve, 5)  # it diverged in epoch 4
    assert (failed["epoch"], failed["end_status"], failed["done"]) == (4, "diverged", True)
    assert failed[BEST_OBJECTIVE] == 0.4
    assert math.isnan(failed[OBJECTIVE])


def test_rungs_are_those_of_a_search(setting):
    assert rungs(setting) == (1, 3)
