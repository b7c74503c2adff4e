"""The searcher and the recorder as Tune calls them, without a Ray instance."""

import json
import math
import pickle
import sqlite3
import threading
from types import SimpleNamespace

import pytest
import torch
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from ray import cloudpickle
from ray.tune.experiment import Trial

from search.events import EventLog
from search.journal import Journal, read_journal
from search.recorder import Recorder
from search.searcher import StudySearcher
from search.stopping import StopSwitch
from search.study import SearchStudy
from search.tuner import _Attempt, build_scheduler
from spaces import change_space
from tests.small_search import small_spec
from trainable.checkpoint import checkpoint_path
from trainable.config import BEST_OBJECTIVE, TrialConfig
from trainable.weights import keep_if_best

EPOCHS = 4


class Search:
    """Plays Tune's part."""

    def __init__(self, folder, changes=None):
        self.spec = small_spec(folder, epochs=EPOCHS)
        if changes:
            self.spec = self.spec.replace(space=change_space(self.spec.space, changes))
        self.spec.folder.mkdir()
        self.study = SearchStudy(
            self.spec.folder, name=self.spec.name, space=self.spec.space, seed=0
        )
        self.study.open(self.spec.space.paper_point())
        self.heard, self.broken = [], []
        asha = {"epochs": EPOCHS, "reduction_factor": 2}
        self.searcher = StudySearcher(
            self.study, self.spec.trial_config, folder=self.spec.folder, **asha
        )
        self.events = EventLog(Journal(self.spec.folder / "journal.jsonl"), [self.heard.append])
        self.recorder = Recorder(
            self.events,
            self.study,
            folder=self.spec.folder,
            on_broken=self.broken.append,
            **asha,
        )

    def start(self, ray_id, tmp_error=None):
        config = self.searcher.suggest(ray_id)
        trial = SimpleNamespace(
            trial_id=ray_id, config=config, last_result={}, error_file=tmp_error, status="RUNNING"
        )
        self.recorder.on_trial_start(iteration=1, trials=[trial], trial=trial)
        return trial

    def step(self, trial, epoch, value, *, best=None, stop=False, **more):
        result = {
            "epoch": epoch,
            "val/objective": value,
            "val/micro_f1": value,
            BEST_OBJECTIVE: value if best is None else best,
            "best/epoch": epoch,
            "best/threshold": 0.5,
            "end_status": "",
            "end_reason": "",
            "done": False,
            "training_iteration": epoch,
            "pid": 1,
            **more,
        }
        if not stop:
            self.searcher.on_trial_result(trial.trial_id, result)
        self.recorder.on_trial_result(iteration=1, trials=[trial], trial=trial, result=result)
        trial.last_result = result
        if stop:
            self.searcher.on_trial_complete(trial.trial_id, result=result)
            self.recorder.on_trial_complete(iteration=1, trials=[trial], trial=trial)

    def fail(self, trial, text, tmp_path):
        error = tmp_path / "error.txt"
        error.write_text(f"Failure # 1 (occurred at x)\nold\nFailure # 2 (occurred at y)\n{text}")
        trial.error_file, trial.status = str(error), Trial.ERROR
        self.searcher.on_trial_complete(trial.trial_id, error=True)
        self.recorder.on_trial_error(iteration=1, trials=[trial], trial=trial)

    def ends(self):
        events = read_journal(self.spec.folder / "journal.jsonl")
        return [
            (e["trial"], e["status"], e["reason"]) for e in events if e["event"] == "trial_ended"
        ]


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


def test_an_error_is_told_to_study_and_journal_with_its_last_line(search, tmp_path):
    trial = search.start("a")
    search.step(trial, 1, 0.3)
    search.fail(trial, "ray::X.train()\nKeyError: 'x'\n", tmp_path)
    [told] = search.study.trials
    assert told.state == TrialState.FAIL
    assert told.user_attrs["reason"] == "KeyError: 'x'"
    assert search.ends() == [(0, "failed", "KeyError: 'x'")]
    search.recorder.on_step_end(iteration=2, trials=[trial])  # not told twice
    assert len(search.ends()) == 1


def test_a_reset_that_failed_in_silence_is_found(search, tmp_path):
    trial = search.start("a")
    other = search.start("b")
    error = tmp_path / "error.txt"
    error.write_text("Failure # 1 (occurred at x)\nno reset\n")
    trial.status, trial.error_file = Trial.ERROR, str(error)
    search.recorder.on_step_end(iteration=1, trials=[trial, other])
    assert search.ends() == [(0, "failed", "no reset")]
    assert search.study.num_open == 1


def test_a_restart_is_told_and_its_epochs_are_not_reported_twice(search, tmp_path):
    error = tmp_path / "error.txt"
    error.write_text("Failure # 1 (occurred at x)\nThe actor died unexpectedly\n")
    trial = search.start("a", str(error))
    search.step(trial, 1, 0.3)
    search.recorder.on_trial_recover(iteration=1, trials=[trial], trial=trial)
    search.recorder.on_trial_start(iteration=1, trials=[trial], trial=trial)
    search.step(trial, 1, 0.3)
    search.step(trial, EPOCHS, 0.5, stop=True)
    kinds = [event["event"] for event in search.heard]
    assert kinds == [
        "trial_started",
        "epoch",
        "trial_restarted",
        "epoch",
        "epoch",
        "trial_ended",
    ]
    assert search.study.trials[0].state == TrialState.COMPLETE


def test_a_trial_that_starts_again_in_its_worker_is_told(search):
    trial = search.start("a")
    search.step(trial, 1, 0.3)
    search.step(trial, 2, 0.6)
    keep_weights(search, 0, 2, 0.6)
    search.step(trial, 1, 0.2, restarted="out of memory in epoch 3", note="warns: x\ny")
    assert not list((search.spec.folder / "weights").glob("trial-*"))  # of epoch 2, which is void
    search.step(trial, 2, 0.5, stop=True, note="late")
    assert [event["event"] for event in search.heard] == [
        *("trial_started", "epoch", "epoch", "trial_restarted", "epoch", "epoch", "trial_ended")
    ]
    assert search.heard[3]["reason"] == "out of memory in epoch 3"
    assert [event.get("note") for event in search.heard] == [
        *(None, None, None, None, "warns: x y", "late", "late")
    ]


def test_a_worker_that_ray_ended_for_its_memory_starts_again_with_less(search, tmp_path):
    error = tmp_path / "error.txt"
    error.write_text(
        "Failure # 1 (occurred at x)\nTask was killed due to the node running low on memory.\n"
    )
    trial = search.start("a", str(error))
    search.recorder.on_trial_recover(iteration=1, trials=[trial], trial=trial)
    assert trial.config["halved"] is True
    assert search.heard[-1]["reason"].startswith("out of memory, goes on with half the micro-batch")
    error.write_text("Failure # 1 (occurred at x)\nThe actor died unexpectedly\n")
    other = search.start("b", str(error))
    search.recorder.on_trial_recover(iteration=1, trials=[other], trial=other)
    assert "halved" not in other.config


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


class FullStudy:
    """A study whose disk is full."""

    num_open, pareto = 0, ()

    def __getattr__(self, name):
        def fail(*_args, **_kwargs):
            try:
                raise sqlite3.OperationalError("database or disk is full")
            except sqlite3.OperationalError as error:
                raise StorageInternalError("An exception is raised during the commit.") from error

        return fail


def test_a_study_that_cannot_be_written_ends_the_search_and_not_tunes_loop(search):
    searcher = StudySearcher(
        FullStudy(),
        search.spec.trial_config,
        epochs=EPOCHS,
        reduction_factor=2,
        folder=None,
        on_broken=search.broken.append,
    )
    result = {"epoch": 1, BEST_OBJECTIVE: 0.5}
    assert searcher.suggest("a") is None
    searcher.on_trial_result("a", result)
    searcher.on_trial_complete("a", result)
    assert search.broken == ["cannot record the search: database or disk is full"] * 3
    without = StudySearcher(
        FullStudy(), search.spec.trial_config, epochs=EPOCHS, reduction_factor=2, folder=None
    )
    with pytest.raises(StorageInternalError):
        without.suggest("a")


def keep_weights(search, number, epoch, objective):
    return keep_if_best(
        search.spec.folder / "weights",
        number,
        objective=objective,
        epoch=epoch,
        threshold=0.5,
        state={"w": torch.zeros(1)},
    )


def test_weights_that_a_restart_undid_go(search, tmp_path):
    error = tmp_path / "error.txt"
    error.write_text("Failure # 1 (occurred at x)\nThe actor died unexpectedly\n")
    undone, other = search.start("a", str(error)), search.start("b")
    search.step(undone, 1, 0.3)
    search.step(other, 1, 0.3)
    files = [keep_weights(search, number, 1, 0.3) for number in (0, 1)]
    search.recorder.on_trial_recover(iteration=1, trials=[undone, other], trial=undone)
    assert [file.exists() for file in files] == [False, True]
    assert keep_weights(search, 1, 2, 0.31)


def keep_checkpoint(search, number):
    path = checkpoint_path(search.spec.folder / "checkpoints", number)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_weights_that_a_checkpoint_goes_back_behind_stay(search, tmp_path):
    error = tmp_path / "error.txt"
    error.write_text("Failure # 1 (occurred at x)\nThe actor died unexpectedly\n")
    trial = search.start("a", str(error))
    search.step(trial, 1, 0.3)
    file, checkpoint = keep_weights(search, 0, 1, 0.3), keep_checkpoint(search, 0)
    search.recorder.on_trial_recover(iteration=1, trials=[trial], trial=trial)
    assert (file.exists(), checkpoint.exists()) == (True, True)


def test_a_checkpoint_goes_with_its_trial_but_not_when_that_is_interrupted(search, tmp_path):
    done, failed, _ = (search.start(ray_id) for ray_id in "abc")
    files = [keep_checkpoint(search, number) for number in range(3)]
    search.step(done, EPOCHS, 0.5, stop=True)
    search.fail(failed, "ValueError: x", tmp_path)
    assert [file.exists() for file in files] == [False, False, True]
    search.study.interrupt_open()
    keep_checkpoint(search, 0)  # a worker that outlived its driver
    attempt = _Attempt.open(search.spec, ())
    assert [file.exists() for file in files] == [False, False, True]
    searcher = StudySearcher(
        attempt.study,
        search.spec.trial_config,
        epochs=EPOCHS,
        reduction_factor=2,
        folder=search.spec.folder,
        checkpoint_every=3,
    )
    config = searcher.suggest("again")
    assert (config["number"], config["resumes"], config["checkpoint_every"]) == (3, [2], 3)
    assert config["checkpoints_dir"] == str(files[2].parent)


def test_what_cost_time_is_told(search, caplog):
    trial = search.start("a")
    search.step(trial, 1, 0.3, note="trains from its first epoch: checkpoint x is damaged")
    assert "trial 0 trains from its first epoch: checkpoint x is damaged" in caplog.text
    assert "note" not in search.heard[-1]["metrics"]


def test_weights_of_an_epoch_that_never_counted_go_when_the_trial_fails(search, tmp_path):
    trials = [search.start("a"), search.start("b")]
    for trial in trials:
        search.step(trial, 1, 0.3)
    files = [keep_weights(search, 0, 1, 0.3), keep_weights(search, 1, 1, 0.3)]
    search.fail(trials[0], "The actor died unexpectedly", tmp_path)
    assert [file.exists() for file in files] == [True, True]
    keep_weights(search, 1, 2, 0.4)  # its worker dies before it can report epoch 2
    search.fail(trials[1], "The actor died unexpectedly", tmp_path)
    assert not files[1].exists()


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


def test_a_journal_that_cannot_be_written_stops_the_search_in_words(search):
    trial = search.start("a")
    search.spec.folder.joinpath("journal.jsonl").unlink()
    search.spec.folder.joinpath("journal.jsonl").mkdir()
    search.step(trial, 1, 0.3)  # raises nothing
    assert len(search.broken) == 1
    assert search.broken[0].startswith("cannot record the search: ")


def test_a_listener_that_raises_is_reported_once_and_dropped(tmp_path, caplog):
    heard = []

    def bad(event):
        raise ValueError(f"cannot take\n{event['event']}")

    events = EventLog(Journal(tmp_path / "journal.jsonl"), [bad, heard.append])
    events.emit("search_started", attempt=1)
    events.emit("search_ended", status="completed", reason="")
    assert len(heard) == 2
    [record] = caplog.records
    assert "fails and is left out from now on: cannot take search_started" in record.getMessage()


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


def test_an_attempt_begins_with_weights_that_the_journal_knows(search):
    trial = search.start("a")
    search.step(trial, 1, 0.3)
    other = search.start("b")
    search.step(other, 1, 0.3)
    known, unknown = keep_weights(search, 0, 1, 0.3), keep_weights(search, 1, 2, 0.3)
    attempt = _Attempt.open(search.spec.replace(trials=20), ())
    assert [known.exists(), unknown.exists()] == [True, False]
    attempt.study.ask("c")
    assert attempt.study._opened.sampler._n_startup_trials == 5
