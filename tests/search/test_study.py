"""The study against a real Optuna storage on disk."""

import math
import pickle
import sqlite3
import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from search.outcome import Outcome
from search.samplers import startup_trials
from search.study import STUDY_FILE, SearchStudy, curve_of
from spaces import space_for
from tests.small_search import ROOT
from trainable.errors import UsageError

COMPLETED = Outcome("completed", "all 3 epochs")
STOPPED = Outcome("stopped", "below the top half at epoch 2")
PAPER = space_for("db", mu=0.5).paper_point()


def make(folder, seed=0):
    study = SearchStudy(folder, name="s", space=space_for("db", mu=0.5), seed=seed)
    study.open(PAPER)
    return study


def on_disk(folder):
    return optuna.load_study(study_name="s", storage=f"sqlite:///{folder / STUDY_FILE}").trials


def finish(study, ray_id, values, outcome=COMPLETED):
    for epoch, value in enumerate(values, 1):
        study.report(ray_id, epoch, value)
    study.finish(ray_id, outcome, values[-1:])


def test_trial_0_has_the_papers_values_and_exists_before_anything_runs(tmp_path):
    study = make(tmp_path)
    [waiting] = on_disk(tmp_path)
    assert waiting.state == TrialState.WAITING
    proposal = study.ask("ray-a")
    assert (proposal.number, proposal.resumes) == (0, None)
    assert proposal.params == PAPER
    assert proposal.params["learning_rate"] == 1e-4
    assert on_disk(tmp_path)[0].user_attrs["ray_trial_id"] == "ray-a"
    assert study.ask("ray-b").params != PAPER


def test_each_end_is_told_as_what_it_was(tmp_path):
    study = make(tmp_path)
    for ray_id in "abcde":
        study.ask(ray_id)
    assert study.num_open == 5
    finish(study, "a", [0.2, 0.5, 0.6])
    finish(study, "b", [0.2, 0.3], STOPPED)
    for ray_id, status in (("c", "diverged"), ("d", "out_of_memory"), ("e", "failed")):
        finish(study, ray_id, [0.4], Outcome(status, f"{status} it is"))
    trials = on_disk(tmp_path)
    fail = TrialState.FAIL
    assert [t.state for t in trials] == [TrialState.COMPLETE, TrialState.PRUNED, fail, fail, fail]
    assert [t.value for t in trials] == [0.6, 0.3, None, None, None]
    assert trials[1].intermediate_values == {1: 0.2, 2: 0.3}
    assert trials[2].intermediate_values == {1: 0.4}
    assert [t.user_attrs["status"] for t in trials] == [
        "completed",
        "stopped",
        "diverged",
        "out_of_memory",
        "failed",
    ]
    assert trials[2].user_attrs["reason"] == "diverged it is"
    assert study.num_open == 0
    assert len(study.ended) == 5


@pytest.mark.filterwarnings("error")
def test_saying_it_twice_or_of_nobody_is_no_error(tmp_path):
    study = make(tmp_path)
    study.ask("a")
    study.report("a", 1, 0.5)
    study.report("a", 1, 0.7)
    study.report("a", 2, math.nan)
    study.report("nobody", 1, 0.5)
    study.finish("nobody", COMPLETED, [0.5])
    study.finish("a", COMPLETED, [0.5])
    study.finish("a", STOPPED)
    study.report("a", 3, 0.5)
    study.interrupt_open()
    [trial] = on_disk(tmp_path)
    assert trial.state == TrialState.COMPLETE
    assert trial.intermediate_values == {1: 0.5}


def test_an_end_without_a_finite_value_is_no_completion(tmp_path):
    study = make(tmp_path)
    study.ask("a")
    study.finish("a", COMPLETED, [math.nan])
    assert on_disk(tmp_path)[0].state == TrialState.FAIL


def test_nothing_stays_running(tmp_path):
    study = make(tmp_path)
    study.ask("a")
    study.report("a", 1, 0.5)
    study.ask("b")
    study.interrupt_open()
    assert [t.state for t in on_disk(tmp_path)] == [TrialState.FAIL] * 2
    assert {t.user_attrs["status"] for t in on_disk(tmp_path)} == {"interrupted"}
    assert study.ended == []
    assert study.num_open == 0


def test_interrupted_trials_run_again_once(tmp_path):
    study = make(tmp_path)
    finish_id = study.ask("a")
    finish(study, "a", [0.5, 0.6, 0.7])
    left = study.ask("b")  # running when its driver was killed: nobody told the study
    del study

    for _ in range(3):  # opened, and killed again, before anything was asked
        study = make(tmp_path)
    trials = on_disk(tmp_path)
    assert [t.state for t in trials] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.WAITING,
    ]
    assert (study.waiting, study.predecessors(2)) == ([2], (left.number,))
    again = study.ask("c")
    assert (again.number, again.resumes) == (2, left.number)
    assert again.params == left.params
    assert study.ask("d").resumes is None
    study.interrupt_open()

    study = make(tmp_path)  # interrupted again: the chain goes on from its last link
    assert study.ask("e").resumes == 2
    assert study.ask("f").resumes == 3
    assert study.ask("g").resumes is None
    assert [study.predecessors(number) for number in range(6)] == [(), (), (1,), (), (2, 1), (3,)]
    assert study.waiting == []
    assert finish_id.number == 0


def test_an_interrupted_trial_that_never_got_its_values_is_not_lost(tmp_path):
    """Killed between Optuna's ask and the first suggestion: the enqueued values must survive."""
    study = make(tmp_path)
    study._opened.ask()
    study = make(tmp_path)
    assert study.ask("a").params == PAPER


def test_a_trial_killed_between_two_values_gets_the_rest_of_those_it_was_given(tmp_path):
    study = make(tmp_path)
    first = study._opened.ask()
    study.space.dimensions[0].suggest(first)
    assert len(first.params) == 1
    study = make(tmp_path)
    assert study.ask("a").params == PAPER


def test_proposals_depend_on_seed_number_and_history_alone(tmp_path):
    def run(folder, reopen, kill=()):
        folder.mkdir()
        study, params = make(folder, seed=3), []
        for n in range(12):
            if n in reopen:
                study = make(folder, seed=3)
            if n in kill:
                study.ask(f"k{n}")
                study = make(folder, seed=3)
            params.append(study.ask(f"t{n}").params)
            finish(study, f"t{n}", [params[-1]["learning_rate"]])
        return params

    straight = run(tmp_path / "a", ())
    assert run(tmp_path / "b", (4, 11)) == straight
    assert run(tmp_path / "d", (), kill=(3, 10)) == straight
    assert len({p["gamma"] for p in straight}) == 12  # no draw is repeated after reopening
    other = tmp_path / "c"
    other.mkdir()
    study = make(other, seed=4)
    study.ask("a")
    assert study.ask("b").params != straight[1]


def test_the_sampler_is_the_one_we_mean(tmp_path):
    study = make(tmp_path)
    study.ask("a")
    sampler = study._opened.sampler
    assert isinstance(sampler, optuna.samplers.TPESampler)
    assert sampler._multivariate
    assert sampler._group
    assert sampler._constant_liar


def test_a_short_search_is_not_all_random(tmp_path):
    space = space_for("db", mu=0.5)
    for trials, wanted in ((4, 4), (12, 4), (32, 8), (200, 10)):
        assert startup_trials(trials) == wanted
    study = SearchStudy(tmp_path, name="s", space=space, seed=0, startup_trials=4)
    study.open(PAPER)
    study.ask("a")
    assert study._opened.sampler._n_startup_trials == 4


def test_it_pickles_as_its_address(tmp_path):
    study = make(tmp_path)
    study.ask("a")
    copy = pickle.loads(pickle.dumps(study))
    assert copy.num_open == 0
    copy.open(PAPER)
    assert copy.trials[0].params == PAPER


def test_a_reader_does_not_disturb_the_writer(tmp_path):
    """Somebody looks into study.db meanwhile: the write waits, and does not fail."""
    study = make(tmp_path)
    study.ask("a")
    with sqlite3.connect(tmp_path / STUDY_FILE) as reader:
        reader.execute("select * from trials").fetchone()
        study.report("a", 1, 0.5)
    reader.close()
    assert on_disk(tmp_path)[0].intermediate_values == {1: 0.5}


KILLED = """
import sys
from pathlib import Path
from search.outcome import Outcome
from search.study import SearchStudy
from spaces import space_for
space = space_for("db", mu=0.5)
study = SearchStudy(Path(sys.argv[1]), name="s", space=space, seed=0)
study.open(space.paper_point())
print("open", flush=True)
for n in range(10**6):
    study.ask(f"t{n}")
    for epoch in range(1, 4):
        study.report(f"t{n}", epoch, 0.1 * epoch)
    study.finish(f"t{n}", Outcome("completed", ""), [0.3])
"""


@pytest.mark.slow
def test_it_survives_sigkill(tmp_path):
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", KILLED, tmp_path], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert writer.stdout.readline() == b"open\n"
        time.sleep(0.3)
        writer.kill()
        writer.communicate()
        began = time.monotonic()
        study = make(tmp_path)
        assert time.monotonic() - began < 10
        for trial in study.trials:
            assert trial.state in (TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING)
            assert trial.state != TrialState.COMPLETE or len(trial.intermediate_values) == 3


def test_two_scores_make_a_pareto_study_that_still_has_curves(tmp_path):
    space = space_for("db", mu=0.5)
    study = SearchStudy(
        tmp_path, name="s", space=space, seed=0, pareto=("micro_f1", "macro_f1"), startup_trials=2
    )
    study.open(PAPER)
    ends = [(COMPLETED, [0.8, 0.4]), (STOPPED, None), (COMPLETED, [0.7, 0.5])]
    for n, (outcome, values) in enumerate(ends):
        study.ask(f"t{n}")
        study.report(f"t{n}", 1, 0.2)
        study.report(f"t{n}", 1, 0.9)  # a second report of an epoch is ignored
        study.report(f"t{n}", 2, 0.3)
        study.finish(f"t{n}", outcome, values)
    study.ask("t3")  # TPE proposes, with a stopped trial among those that it learns from
    assert [curve_of(trial) for trial in study.ended] == [{1: 0.2, 2: 0.3}] * 3
    stored = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path / STUDY_FILE}")
    assert [trial.values for trial in stored.trials[:3]] == [[0.8, 0.4], None, [0.7, 0.5]]
    assert [trial.state for trial in stored.trials[:3]] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.COMPLETE,
    ]
    assert {trial.number for trial in stored.best_trials} == {0, 2}
    study.finish("t3", COMPLETED, [0.7, math.nan])
    assert study.ended[3].state == TrialState.FAIL


def test_a_study_in_the_database_of_a_team(tmp_path):
    shared = f"sqlite:///{tmp_path / 'team.db'}"

    def study_of(name):
        return SearchStudy(
            tmp_path / name, name=name, space=space_for("db", mu=0.5), seed=0, storage=shared
        )

    for name in ("a", "b"):
        study_of(name).open(PAPER, new=True)
    assert optuna.get_all_study_names(shared) == ["a", "b"]
    assert not (tmp_path / "a").exists()
    with pytest.raises(UsageError) as caught:
        study_of("a").open(PAPER, new=True)
    assert str(caught.value) == (
        "the database of --storage has a study 'a' already: choose another --name"
    )
    again = study_of("a")
    again.open(PAPER)
    assert len(again.trials) == 1
