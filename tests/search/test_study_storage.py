"""The mirror against the database behind it, read by a second storage."""

import signal
import sqlite3
import subprocess
import sys

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from search.study_storage import open_storage
from tests.small_search import ROOT

STEPS = st.lists(
    st.one_of(
        st.just(("ask",)),
        st.just(("ask whole",)),
        st.tuples(st.just("enqueue"), st.floats(0, 1)),
        st.tuples(st.just("report"), st.integers(0, 5), st.integers(1, 3), st.floats(0, 1)),
        st.tuples(st.just("tell"), st.integers(0, 5), st.sampled_from(["COMPLETE", "FAIL"])),
        st.just(("open again",)),
    ),
    max_size=15,
)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def study_in(path):
    return optuna.create_study(
        storage=open_storage(path), study_name="s", direction="maximize", load_if_exists=True
    )


def told(trial):
    return {
        key: getattr(trial, key)
        for key in ("number", "state", "values", "params", "distributions", "user_attrs")
    } | {"curve": trial.intermediate_values, "system": trial.system_attrs}


def on_disk(path):
    return optuna.load_study(study_name="s", storage=RDBStorage(f"sqlite:///{path}")).trials


def do(study, step):
    kind, *rest = step
    if kind == "ask":
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr("id", "a")
    elif kind == "ask whole":
        with study._storage.whole_trials():
            trial = study.ask()
            trial.suggest_float("x", 0, 1)
            trial.suggest_categorical("c", ["a", "b"])
            trial.set_user_attr("id", "b")
    elif kind == "enqueue":
        study.enqueue_trial({"x": rest[0]}, user_attrs={"resumes": 0})
    else:
        running = {t.number: t for t in study.trials if t.state == TrialState.RUNNING}
        if rest[0] not in running:
            return
        if kind == "report":
            study._storage.set_trial_intermediate_value(running[rest[0]]._trial_id, *rest[1:])
        else:
            state = TrialState[rest[1]]
            study.tell(rest[0], 0.5 if state == TrialState.COMPLETE else None, state=state)


@settings(deadline=None, max_examples=12)
@given(STEPS)
def test_the_database_holds_what_the_memory_does(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("study") / "study.db"
    study = study_in(path)
    for step in steps:
        if step == ("open again",):
            study = study_in(path)
        else:
            do(study, step)
    assert [told(t) for t in on_disk(path)] == [told(t) for t in study.trials]
    assert [t.number for t in study.trials] == list(range(len(study.trials)))


def test_a_trial_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "study.db"
    study = study_in(path)
    with study._storage.whole_trials():
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        assert on_disk(path) == []
    [written] = on_disk(path)
    assert (written.state, written.params) == (TrialState.RUNNING, trial.params)
    with pytest.raises(ZeroDivisionError), study._storage.whole_trials():
        study.ask().suggest_float("x", 0, 1 / 0)
    assert len(on_disk(path)) == 1
    assert len(study_in(path).trials) == 1


def test_a_setting_that_changes_its_kind_is_still_refused(tmp_path):
    study = study_in(tmp_path / "study.db")
    study.ask({"x": FloatDistribution(0, 1)})
    with pytest.raises(ValueError, match="distribution"):
        study.ask().suggest_categorical("x", ["a"])


def test_a_process_killed_right_after_a_write_loses_nothing(tmp_path):
    path = tmp_path / "study.db"
    code = f"""
import os, signal, optuna
from pathlib import Path
from search.study_storage import open_storage
study = optuna.create_study(storage=open_storage(Path({str(path)!r})), study_name="s")
for number in range(5):
    with study._storage.whole_trials():
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
    trial.report(0.5, 1)
    study.tell(trial, number)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    trials = on_disk(path)
    assert [t.value for t in trials] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert all(t.intermediate_values == {1: 0.5} and t.params for t in trials)


def test_sqlite_keeps_a_log_of_writes_and_puts_it_away_at_the_end(tmp_path):
    path = tmp_path / "study.db"
    study = study_in(path)
    do(study, ("ask",))
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    connection.close()
    study._storage.close()
    assert [file.name for file in tmp_path.iterdir()] == ["study.db"]
