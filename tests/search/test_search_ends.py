"""Searches that end before their last trial, as they were told to; on a real Ray instance."""

import optuna
import pytest
from optuna.trial import TrialState

from search.journal import read_journal
from search.pareto import pareto_front
from search.results import load_search
from tests.small_search import make_folder, run_dummies, small_spec

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def events_of(spec):
    return read_journal(spec.folder / "journal.jsonl")


def test_patience_with_two_scores(tmp_path):
    """The dummies' macro-F1 is half their micro-F1: the front is the best trial alone."""
    spec = small_spec(tmp_path, trials=9, max_concurrent=1, epochs=2, grace_period=2, patience=3)
    both = spec.config.replace(objective="micro_f1+macro_f1")
    spec = spec.replace(config=both, pareto=True)
    make_folder(spec, {"quality": {"0": 0.6, "1": 0.9, "2": 0.5, "3": 0.4, "4": 0.3, "5": 0.95}})
    run_dummies(spec)
    end = events_of(spec)[-1]
    assert (end["event"], end["status"]) == ("search_ended", "plateau")
    assert end["reason"] == "none of the last 3 trials was better than the best before"
    record = load_search(spec.folder)
    assert [trial.number for trial in record.trials] == [0, 1, 2, 3, 4]
    assert record.test_report is not None
    assert [trial.number for trial in pareto_front(record)] == [1]
    stored = optuna.load_study(
        study_name=spec.name, storage=f"sqlite:///{spec.folder / 'study.db'}"
    )
    assert [trial.state for trial in stored.trials] == [TrialState.COMPLETE] * 5
    assert stored.trials[1].values == pytest.approx([0.675, 0.3375])
    # with more patience it goes on
    run_dummies(spec.replace(patience=4, trials=6))
    assert [trial.number for trial in load_search(spec.folder).trials] == [0, 1, 2, 3, 4, 5]
    assert events_of(spec)[-1]["status"] == "completed"


def test_a_compute_budget_counts_trials_side_by_side(tmp_path):
    spec = small_spec(tmp_path, trials=40, max_concurrent=2, epochs=6, compute_budget_s=4.0)
    make_folder(spec, {"step_s": 0.3})
    run_dummies(spec)
    end = events_of(spec)[-1]
    assert (end["event"], end["status"]) == ("search_ended", "compute_budget")
    assert end["reason"] == "trials have run for the 4 s they may"
    epochs = [event for event in events_of(spec) if event["event"] == "epoch"]
    assert 6 <= len(epochs) <= 20  # 13 of 0.3 s, and what lies between them
    assert load_search(spec.folder).test_report is not None
