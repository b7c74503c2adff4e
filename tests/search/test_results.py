"""A search folder read back, however its driver ended."""

import json

import pytest

from search.lock import hold, is_live
from search.results import load_search
from tests.search_folder import append_events, epoch_metrics, events, objective, write_search_folder
from trainable.errors import UsageError


@pytest.fixture
def folder(tmp_path):
    return write_search_folder(tmp_path / "runs" / "db-demo")


def test_a_whole_search(folder):
    record = load_search(folder)
    assert [trial.number for trial in record.trials] == [0, 1, 2, 3, 4, 5]
    assert [trial.status for trial in record.trials] == [
        *("completed", "stopped", "completed", "diverged", "out_of_memory", "interrupted")
    ]
    assert (record.status, record.reason) == ("interrupted", "Ctrl-C")
    assert record.best is record.trials[2]
    assert record.paper is record.trials[0]
    assert record.epochs_spent == 4 + 1 + 4 + 1 + 1 + 2
    assert record.test_report["micro_f1"] == 0.83
    assert record.spec.name == "db-demo"
    assert record.wall_s == events()[-1]["time"] - events()[0]["time"]


def test_a_trial(folder):
    trial = load_search(folder).trials[2]
    assert trial.params == {"learning_rate": 2e-4, "gamma": 2.5, "mu": 0.9}
    assert trial.best_objective == objective(2, 4)
    assert (trial.best_epoch, trial.best_threshold) == (4, 0.4)
    assert trial.best_metrics["val/tail/macro_f1"] == epoch_metrics(2, 4)["val/tail/macro_f1"]
    assert trial.ended - trial.started == 50.0


def test_a_killed_search_is_interrupted_and_a_live_one_runs(tmp_path):
    folder = write_search_folder(tmp_path / "s", whole=False)
    record = load_search(folder)
    assert (record.status, record.trials[1].status) == ("interrupted", "interrupted")
    assert record.reason == "the search ended without a word: its process was killed"
    with hold(folder):
        record = load_search(folder)
        assert (record.status, record.trials[1].status) == ("running", "running")
        assert record.test_report is None
        append_events(folder, [{"event": "search_ended", "status": "time_budget", "time": 1e9 * 2}])
        record = load_search(folder)  # its own process sums up, lock in hand
        assert (record.status, record.trials[1].status) == ("time_budget", "interrupted")


def test_the_papers_values_run_again_after_an_interruption(tmp_path):
    folder = tmp_path / "s"
    write_search_folder(folder, whole=False)
    (folder / "journal.jsonl").unlink()
    history = [{"event": "search_started", "attempt": 1}]
    for number, resumes in ((0, {}), (1, {}), (2, {"resumes": 0}), (3, {"resumes": 2})):
        history.append({"event": "trial_started", "trial": number, "params": {}, **resumes})
    append_events(folder, [{**event, "time": 1e9 + n} for n, event in enumerate(history)])
    record = load_search(folder)
    assert record.paper.number == 3
    assert [trial.resumes for trial in record.trials] == [None, None, 0, 2]


def test_the_papers_values_were_interrupted_before_they_began(tmp_path):
    """Ctrl-C before the first worker was up: trial 0 has no `trial_started`, its rerun has."""
    folder = write_search_folder(tmp_path / "s", whole=False)
    (folder / "journal.jsonl").unlink()
    history = [{"event": "search_started", "attempt": 2}]
    for number, resumes in ((2, {"resumes": 0}), (3, {"resumes": 1}), (4, {})):
        history.append({"event": "trial_started", "trial": number, "params": {}, **resumes})
    append_events(folder, [{**event, "time": 1e9 + n} for n, event in enumerate(history)])
    assert load_search(folder).paper.number == 2


@pytest.mark.parametrize(("trial", "epoch"), [(0, 4), (2, 3), (None, None)])
def test_the_test_scores_of_another_trial_or_epoch_are_not_shown(folder, trial, epoch):
    path = folder / "test_report.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "trial": trial, "epoch": epoch}))
    assert load_search(folder).test_report is None


def test_how_often_the_test_set_was_opened(folder):
    assert load_search(folder).test_evaluations == 1
    append_events(folder, [{"event": "test_evaluated", "trial": 2, "time": 2e9}])
    assert load_search(folder).test_evaluations == 2


def test_a_resumed_search(folder):
    later = [
        {"event": "search_started", "attempt": 2},
        {"event": "trial_started", "trial": 6, "params": {"gamma": 1.5}, "resumes": 5},
        {"event": "epoch", "trial": 6, "epoch": 1, "metrics": epoch_metrics(5, 1)},
        {"event": "trial_restarted", "trial": 6, "reason": "its worker died"},
        {"event": "epoch", "trial": 6, "epoch": 1, "metrics": epoch_metrics(5, 2)},
        {"event": "trial_ended", "trial": 6, "status": "completed", "reason": ""},
        {"event": "search_ended", "status": "completed", "reason": ""},
    ]
    append_events(folder, [{**row, "time": 1.8e9 + i} for i, row in enumerate(later)])
    record = load_search(folder)
    assert record.status == "completed"
    assert record.trials[5].reason == "run again as trial 6"
    assert len(record.trials[6].epochs) == 1
    assert record.trials[6].restarts == ("its worker died",)
    assert record.trials[6].best_objective == objective(5, 2)
    assert record.wall_s == events()[-1]["time"] - events()[0]["time"] + 6.0


def test_an_epoch_counts_once(folder):
    row = {"event": "epoch", "trial": 5, "epoch": 2, "metrics": epoch_metrics(2, 4), "time": 2e9}
    append_events(folder, [row])
    assert len(load_search(folder).trials[5].epochs) == 2


def test_ties_go_to_the_lower_number(tmp_path):
    folder = write_search_folder(tmp_path / "s", whole=False)
    rows = [
        {"event": "trial_started", "trial": 9, "params": {}},
        {"event": "epoch", "trial": 9, "epoch": 4, "metrics": epoch_metrics(0, 4)},
    ]
    append_events(folder, [{**row, "time": 2e9} for row in rows])
    assert load_search(folder).best.number == 0


def test_a_trial_without_a_scored_epoch_is_never_best(tmp_path):
    folder = write_search_folder(tmp_path / "s", whole=False)
    (folder / "journal.jsonl").write_text("")
    metrics = {"best/objective": 0.0, "best/epoch": 0}
    rows = [
        {"event": "search_started", "attempt": 1},
        {"event": "trial_started", "trial": 0, "params": {}},
        {"event": "epoch", "trial": 0, "epoch": 1, "metrics": metrics},
    ]
    append_events(folder, [{**row, "time": 2e9} for row in rows])
    record = load_search(folder)
    assert record.best is None
    assert record.trials[0].best_metrics == {}


def test_an_empty_search(tmp_path):
    folder = write_search_folder(tmp_path / "s")
    (folder / "journal.jsonl").unlink()
    record = load_search(folder)
    assert (record.trials, record.best, record.paper, record.wall_s) == ((), None, None, 0.0)


def test_files_edited_into_nonsense(folder):
    (folder / "test_report.json").write_text("[1]")
    with pytest.raises(UsageError, match=r"test_report.json: must hold a JSON object"):
        load_search(folder)
    (folder / "test_report.json").write_text("{")
    with pytest.raises(UsageError, match=r"test_report.json: cannot be read"):
        load_search(folder)
    (folder / "spec.yaml").unlink()
    with pytest.raises(UsageError, match=r"spec.yaml: no such file"):
        load_search(folder)


def test_one_process_owns_a_search(tmp_path):
    assert not is_live(tmp_path)
    with hold(tmp_path):
        assert is_live(tmp_path)
        with (
            pytest.raises(UsageError, match=r"search '.*' is running \(process \d+ on .+\): wait"),
            hold(tmp_path),
        ):
            pass
    assert not is_live(tmp_path)


def test_json_numbers_survive(folder):
    """Python floats go through the journal unchanged."""
    value = json.loads(json.dumps(objective(2, 4)))
    assert load_search(folder).best.best_objective == value
