"""Proposals to Tune, and what the study learns of how trials end."""

import json
import math
import pickle
import threading
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState
from ray import cloudpickle

from search.stopping import StopSwitch
from search.tuner import build_scheduler
from tests.searched import EPOCHS, Search
from trainable.config import BEST_OBJECTIVE, TrialConfig


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path)


def test_a_suggestion_is_what_the_trial_needs(search):
    config = search.searcher.suggest("a")
    assert sorted(config) == [
        *("checkpoint_every", "checkpoints_dir", "config", "number", "resumes", "weights_dir")
    ]
    assert config["number"] == 0
    assert config["weights_dir"] == str(search.spec.folder / "weights")
    trial_config = TrialConfig.from_mapping(config["config"])
    assert trial_config.learning_rate == 1e-4
    assert trial_config.epochs == EPOCHS
    json.dumps(config)
    second = TrialConfig.from_mapping(search.searcher.suggest("b")["config"])
    assert second.learning_rate == search.study.proposal("b").params["learning_rate"]


def test_no_more_suggestions_than_slots(search):
    assert search.searcher.set_max_concurrency(2)
    trials = [search.start("a"), search.start("b")]
    assert search.searcher.suggest("c") is None
    search.step(trials[0], EPOCHS, 0.5, stop=True)
    assert search.searcher.suggest("c")["number"] == 2


def test_a_completed_trial_has_the_value_of_its_best_epoch(search):
    trial = search.start("a")
    for epoch, value, best in ((1, 0.3, 0.3), (2, 0.6, 0.6), (3, 0.5, 0.6)):
        search.step(trial, epoch, value, best=best)
    search.step(trial, 4, 0.4, best=0.6, stop=True, done=True)
    [told] = search.study.trials
    assert (told.state, told.value) == (TrialState.COMPLETE, 0.6)
    assert told.intermediate_values == {1: 0.3, 2: 0.6, 3: 0.6, 4: 0.6}
    assert search.ends() == [(0, "completed", "all 4 epochs")]


def test_a_trial_with_fewer_epochs_of_its_own_completes(tmp_path):
    search = Search(tmp_path, {"epochs": [2, EPOCHS]})
    assert search.spec.longest.epochs == EPOCHS
    lengths = {}
    for number in range(8):
        trial = search.start(str(number))
        lengths[number] = trial.config["config"]["epochs"]
        search.step(trial, 2, 0.4, stop=True, done=True)
    assert set(lengths.values()) == {2, EPOCHS}
    for number, status, _ in search.ends():
        assert status == ("completed" if lengths[number] == 2 else "stopped")
        state = search.study.trials[number].state
        assert state == (TrialState.COMPLETE if lengths[number] == 2 else TrialState.PRUNED)


def test_a_stopped_trial_is_pruned_with_the_epoch_it_was_stopped_on(search):
    trial = search.start("a")
    search.step(trial, 1, 0.3)
    search.step(trial, 2, 0.4, stop=True, done=True)
    [told] = search.study.trials
    assert (told.state, told.value) == (TrialState.PRUNED, 0.4)
    assert told.intermediate_values == {1: 0.3, 2: 0.4}
    assert search.ends() == [(0, "stopped", "below the top half at epoch 2")]
    assert [e["epoch"] for e in search.heard if e["event"] == "epoch"] == [1, 2]


@pytest.mark.parametrize("status", ["diverged", "out_of_memory"])
def test_a_trial_that_breaks_down_fails_and_its_last_epoch_does_not_count(search, status):
    trial = search.start("a")
    search.step(trial, 1, 0.3)
    more = {"end_status": status, "end_reason": "why", "train/loss": float("nan"), "done": True}
    search.step(trial, 2, 0.0, best=0.3, stop=True, **more)
    [told] = search.study.trials
    assert (told.state, told.intermediate_values) == (TrialState.FAIL, {1: 0.3})
    assert search.ends() == [(0, status, "why")]
    assert [e["epoch"] for e in search.heard if e["event"] == "epoch"] == [1]
    assert search.broken == []


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_an_objective_that_is_no_number_ends_the_trial_as_diverged(search, value):
    """Of a foreign trainable: `FineTuneTrial` ends itself."""
    trial = search.start("a")
    search.step(trial, 1, 0.3)
    result = {"epoch": 2, BEST_OBJECTIVE: value}
    assert StopSwitch()("a", result)
    assert not StopSwitch()("a", {"epoch": 1, BEST_OBJECTIVE: 0.3})
    search.step(trial, 2, 0.4, best=value if value is not None else math.nan, stop=True)
    reason = "the objective is not finite at epoch 2"
    assert search.ends() == [(0, "diverged", reason)]
    assert [event["event"] for event in search.heard] == ["trial_started", "epoch", "trial_ended"]
    told = search.study.trials[0]
    assert (told.state, told.user_attrs["status"]) == (TrialState.FAIL, "diverged")
    assert told.intermediate_values == {1: 0.3}


def test_the_metrics_are_the_trials_own(search):
    trial = search.start("a")
    search.step(trial, 1, 0.3)
    [event] = [event for event in search.heard if event["event"] == "epoch"]
    assert event["metrics"] == {
        "val/objective": 0.3,
        "val/micro_f1": 0.3,
        BEST_OBJECTIVE: 0.3,
        "best/epoch": 1,
        "best/threshold": 0.5,
    }


def test_tune_can_pickle_what_holds_live_things(search):
    """Tune cloudpickles callbacks and searchers when the Tuner is built, the live ones go on."""
    search.start("a")
    search.events._listeners.append(threading.Lock())
    cloudpickle.dumps(search.recorder)
    copy = cloudpickle.loads(cloudpickle.dumps(search.searcher))
    assert copy.study.num_open == 0
    assert copy.metric == BEST_OBJECTIVE
    assert copy._trial_config is None  # the spec behind it may hold passwords
    assert pickle.loads(pickle.dumps(search.study)).name == search.spec.name


def test_asha_is_rebuilt_from_the_study(search):
    for ray_id, values in (("a", (0.5, 0.6, 0.7, 0.8)), ("b", (0.6, 0.7))):
        trial = search.start(ray_id)
        for epoch, value in enumerate(values, 1):
            search.step(trial, epoch, value, stop=epoch == len(values))
    left = search.start("c")
    search.step(left, 1, 0.9)
    search.study.interrupt_open()  # c runs again: it must not stand on a rung twice

    scheduler = build_scheduler(search.spec, search.study)
    assert {epoch: sorted(seen.values()) for epoch, seen in scheduler.rungs.items()} == {
        1: [0.5, 0.6],
        2: [0.6, 0.7],
    }
    new = SimpleNamespace(trial_id="new")
    scheduler.on_trial_add(None, new)
    assert scheduler.on_trial_result(None, new, {"epoch": 1, BEST_OBJECTIVE: 0.5}) == "STOP"
    assert scheduler.metric == BEST_OBJECTIVE
