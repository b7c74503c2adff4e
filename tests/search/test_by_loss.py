"""A search whose loss is searched: resolved, checked, begun, resumed, told loss by loss."""

import dataclasses
import io
import math

import optuna
import pytest
from rich.console import Console

from search.by_loss import losses_in_numbers, losses_table, paper_trials
from search.chosen import chosen_table
from search.dead import check_alive
from search.differences import check_acceptable
from search.export import best_config
from search.first_points import first_points
from search.outcome import Outcome
from search.preflight import points_left_out, warnings_of
from search.published import PUBLISHED, published_for
from search.request import RunRequest
from search.resolve import name_of
from search.samplers import startup_trials
from search.space_file import read_point
from search.spec import SearchSpec
from search.study import SearchStudy
from search.summary import summarize
from search.tracking.documents import spec_params
from search.warm_start import earlier_trials
from spaces import AUTO_LOSSES, LOSS_SETTINGS, auto_space
from tests.auto_search import auto_record, auto_spec, record_of, trial
from tests.tiny import tiny_encoded, with_features
from trainable.config import LOSS_HYPERPARAMETERS, TrialConfig
from trainable.errors import UsageError

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def spec():
    return auto_spec("db,cb-ntr,fl", trials=6)


@pytest.fixture
def record(spec, tmp_path):
    return auto_record(tmp_path, spec)


def text_of(renderable):
    console = Console(width=100, record=True, file=io.StringIO(), highlight=False)
    console.print(renderable)
    return console.export_text()


def test_the_spec_survives_its_file(spec, tmp_path):
    spec.save(tmp_path / "spec.yaml")
    assert SearchSpec.load(tmp_path / "spec.yaml") == spec
    assert (spec.config.loss, spec.space.loss, spec.space.losses[1]) == ("db", "auto", "cb-ntr")
    assert spec.first_points[2]["loss"] == "fl"
    assert "loss auto" not in spec_params(spec.to_mapping())
    assert spec_params(spec.to_mapping())["loss"] == "auto"
    assert name_of(RunRequest(loss="db,fl", dataset="demo")).startswith("auto-demo-")


def test_what_is_fixed_reaches_the_losses_that_have_it():
    spec = auto_spec("bce,cb,db", settings=("gamma=1.5", "mu=0.7", "dropout=0.3"))
    assert set(spec.space.fixed) == {"gamma", "mu"}
    configs = {p["loss"]: spec.trial_config(p) for p in spec.space.paper_points()}
    assert (configs["bce"].gamma, configs["cb"].gamma, configs["db"].gamma) == (None, 1.5, 1.5)
    assert (configs["cb"].mu, configs["db"].mu) == (None, 0.7)
    assert {config.dropout for config in configs.values()} == {0.3}
    again = SearchSpec.from_mapping(spec.to_mapping())
    assert again.trial_config({"loss": "cb"}).gamma == 1.5
    with pytest.raises(UsageError, match="none of the losses bce, cb has a hyperparameter 'mu'"):
        auto_spec("bce,cb", settings=("mu=0.7",))


def test_each_loss_is_a_search_of_its_own():
    spec = auto_spec()
    for loss in AUTO_LOSSES:
        alone = spec.of_loss(loss)
        single = auto_spec(loss)
        assert (alone.config, alone.space) == (single.config, single.space)
    assert single.of_loss("bce") is single


def test_a_sampler_that_cannot():
    with pytest.raises(UsageError, match="--sampler gp models settings that every trial has"):
        auto_spec(sampler="gp")
    assert auto_spec(sampler="random").sampler == "random"


def test_what_is_said_before_it_begins():
    spec = auto_spec(trials=6)
    assert any(
        "6 trials try the paper's values of so many losses: cb, bce may not be tried; "
        "--trials 8 tries all" in line
        for line in warnings_of(spec)
    )
    assert not any("may not be tried" in line for line in warnings_of(auto_spec()))
    assert any("may draw at random" in line for line in warnings_of(auto_spec(sampler="hub:a/b")))
    table = " ".join(text_of(chosen_table(auto_spec())).split())
    assert "auto: one of db, cb-ntr, ntr-fl, fl, r-fl, db-0fl, cb, bce" in table
    assert "trials 0 to 7 have the paper's values, of one loss each" in table
    more = auto_spec("db,fl", trials=3).replace(points=({"gamma": 1.0}, {"gamma": 2.0}))
    assert points_left_out(more) == [
        "2 first points were given, of which 3 trials try 1; --trials 4 tries all"
    ]
    assert startup_trials(32, losses=8) == 7 + startup_trials(25)


def losses_tried(folder, sampler, seed):
    """The losses of 40 trials, one of which is the best; each trial is one of its loss."""
    spec = auto_spec("bce,fl,cb-ntr", trials=40, sampler=sampler)
    study = SearchStudy(
        folder,
        name="s",
        space=spec.space,
        seed=seed,
        startup_trials=startup_trials(spec.trials, losses=3),
        sampler=sampler,
    )
    study.open(*spec.first_points)
    tried = []
    for number in range(spec.trials):
        params = study.ask(f"r{number}").params
        config = spec.trial_config(params)
        own = {name for name in LOSS_SETTINGS if getattr(config, name) is not None}
        assert own == set(LOSS_HYPERPARAMETERS[config.loss])
        tried.append(config.loss)
        score = {"bce": 0.5, "fl": 0.55, "cb-ntr": 0.6}[config.loss]
        score -= 0.1 * abs(math.log10(config.learning_rate) + 3.3)
        study.finish(f"r{number}", Outcome("completed", ""), [score])
    study.close()
    return tried


def test_a_study_of_several_losses(tmp_path):
    found = {}
    for sampler in ("tpe", "random"):
        found[sampler] = []
        for seed in (1, 2):
            folder = tmp_path / f"{sampler}-{seed}"
            folder.mkdir()
            tried = losses_tried(folder, sampler, seed)
            assert tried[:3] == ["bce", "fl", "cb-ntr"]
            assert set(tried[3:]) == {"bce", "fl", "cb-ntr"}
            found[sampler] += tried[20:]
    assert found["tpe"].count("cb-ntr") > len(found["tpe"]) / 2 > found["random"].count("cb-ntr")


def test_dead_hyperparameters_are_looked_at_in_every_loss_that_has_them():
    data = with_features(tiny_encoded())
    assert check_alive(auto_spec("auto"), data) == []
    one = auto_spec("bce,db", settings=("beta=1e-9",))
    with pytest.raises(UsageError, match=r"'mu' \(.*\) changes neither .*: fix it with --set mu="):
        check_alive(one, data)


def test_a_setting_that_is_dead_in_one_loss_only(monkeypatch):
    """It lives in another one, so the search goes on, and says so."""
    from trainable.effects import Effects

    of_losses = Effects._of_losses
    monkeypatch.setattr(
        Effects,
        "_of_losses",
        lambda s, a, b: 0.0 if a.loss == b.loss == "fl" else of_losses(s, a, b),
    )
    spec = auto_spec("fl,cb")
    assert check_alive(spec, with_features(tiny_encoded())) == [
        "the searched setting 'gamma' changes nothing in fl"
    ]


def test_the_losses_are_told_apart(record):
    summary = summarize(record)
    assert summary["loss"] == "auto"
    numbers = losses_in_numbers(record)["by_loss"]
    assert summary["by_loss"] == numbers
    assert list(numbers) == ["db", "cb-ntr", "fl"]
    assert numbers["cb-ntr"] == {
        **{"trials": 2, "completed": 2, "trial": 4, "objective": 0.8, "paper_values": 0.5}
    }
    assert numbers["fl"]["paper_values"] == 0.2
    assert {loss: t.number for loss, t in paper_trials(record).items()} == {
        **{"db": 0, "cb-ntr": 3, "fl": 2}
    }
    text = text_of(losses_table(summary))
    rows = [line.split()[0] for line in text.splitlines()[3:] if "." in line]
    assert rows == ["cb-ntr", "db", "fl"]
    single = dataclasses.replace(record, spec=auto_spec("db"), trials=record.trials[:1])
    assert losses_in_numbers(single) == {}
    assert losses_table(summarize(single)) is None


def test_the_published_row_and_the_export_are_of_the_winners_loss(record):
    assert published_for(record) == ("cb-ntr", PUBLISHED["cb-ntr"])
    config = best_config(record).config
    assert (config.loss, config.gamma, config.cb_beta, config.alpha) == ("cb-ntr", 1.0, 0.9, None)


def test_first_points_between_one_loss_and_several(record, tmp_path):
    single = auto_spec("db")
    assert [p["gamma"] for p in first_points(record, single)] == [2.0]  # its one trial of db
    assert all("loss" not in point for point in first_points(record, single))
    # of losses that are not searched: what they say of the others
    [other, *_] = first_points(record, auto_spec("ntr-fl"))
    assert (other["kappa"], other["gamma"]) == (0.1, 1.0)
    fl = auto_spec("fl")
    old = record_of(fl, [trial(0, fl.space.paper_point(), 0.5)], tmp_path)
    assert first_points(old, record.spec) == ({"loss": "fl", **fl.space.paper_point()},)
    assert "loss" not in first_points(old, auto_spec("db,ntr-fl"))[0]


def test_warm_start_between_one_loss_and_several(record, tmp_path):
    told = earlier_trials(record, auto_spec("cb-ntr"), "same")
    assert {t.params.get("gamma") for t in told} == {2.0, 1.0, 3.0}
    best = next(t for t in told if t.params.get("kappa") == 0.1)
    assert (best.curve[2], best.paper_curve) == (0.8, {1: 0.4, 2: 0.5})  # of cb-ntr's paper values
    fl = auto_spec("fl")
    old = record_of(fl, [trial(0, fl.space.paper_point(), 0.5)], tmp_path)
    [carried] = earlier_trials(old, record.spec, "same")
    assert carried.params == {"loss": "fl", **fl.space.paper_point()}
    with pytest.raises(UsageError, match="no finished trial with settings that this search"):
        earlier_trials(old, auto_spec("db,ntr-fl"), "same")  # fl is not among the choices


def test_the_scale_of_earlier_trials_is_that_of_their_loss(record, tmp_path):
    spec = record.spec
    told = earlier_trials(record, spec, "same")
    study = SearchStudy(tmp_path, name="s", space=spec.space, seed=0, earlier=told)
    study.open(*spec.first_points)
    for number, score in enumerate((0.7, 0.9)):  # of db and cb-ntr; fl has not ended
        study.ask(f"r{number}")
        study.report(f"r{number}", 2, score)
        study.finish(f"r{number}", Outcome("completed", ""), [score])
    values = {t.params["loss"]: t.intermediate_values for t in study._earlier_trials()}
    study.close()
    assert values["db"][2] == pytest.approx(0.7)
    assert values["cb-ntr"][2] == pytest.approx(0.8 + (0.9 - 0.5))
    assert values["fl"][1] == 0.3


def test_points_of_a_user(tmp_path, spec):
    file = tmp_path / "point.yaml"
    file.write_text("loss: fl\ngamma: 1.0\n")
    assert read_point(str(file), spec.space) == {"loss": "fl", "gamma": 1.0}
    file.write_text("loss: fl\nkappa: 0.1\n")
    with pytest.raises(UsageError, match="loss 'fl' has no hyperparameter 'kappa': leave it out"):
        read_point(str(file), spec.space)
    file.write_text("loss: bce\n")
    with pytest.raises(UsageError, match="'loss' must lie in"):
        read_point(str(file), spec.space)


def test_a_resumed_search_keeps_its_losses(spec):
    then = {"numbers": {"search": spec.deciding}}
    check_acceptable("s", [then], then)
    single = {"numbers": {"search": auto_spec("db").deciding}}
    with pytest.raises(UsageError, match="the loss of search 's' was db and is auto"):
        check_acceptable("s", [single], then)
    fewer = {"numbers": {"search": auto_spec("db,fl").deciding}}
    with pytest.raises(UsageError, match="'loss' is searched as one of db, fl and was as"):
        check_acceptable("s", [then], fewer)


def test_config_and_space_begin_with_the_same_loss(spec):
    with pytest.raises(UsageError, match="config and space must begin with the same loss"):
        spec.replace(config=TrialConfig(loss="bce"))
    with pytest.raises(UsageError, match="config and space must begin with the same loss"):
        spec.replace(space=auto_space(["fl", "db"], mu=0.9))
