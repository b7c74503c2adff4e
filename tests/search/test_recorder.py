"""What the recorder tells journal and study of trials that fail, restart or lose their worker."""

import sqlite3

import pytest
import torch
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from ray.tune.experiment import Trial

from search.events import EventLog
from search.journal import Journal
from search.searcher import StudySearcher
from search.tuner import _Attempt
from tests.searched import EPOCHS, Search
from trainable.checkpoint import checkpoint_path
from trainable.config import BEST_OBJECTIVE
from trainable.weights import keep_if_best


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path)


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
