"""A replay into a real SQLite store, read back with MLflow's own client."""

import contextlib
import csv
import dataclasses
import io
import json
import sqlite3

import pytest
from mlflow import MlflowClient

from search.plots import threshold_figure
from search.tracking import sync
from search.tracking.check import default_tracking_uri
from search.tracking.links import trials_filter
from search.tracking.replay import Replay
from search.tracking.store import connect, refresh_statistics
from search.tracking.view import shared_view
from tests.confirmed_search import SCORES, write_confirmed_search
from tests.search_folder import (
    BEST_TRIAL,
    FIRST_PART,
    LABELS,
    START,
    TRIALS,
    append_events,
    events,
    test_report,
    write_search_folder,
)
from tests.tracked import artifacts, content, runs_of
from trainable.config import TrialConfig


@pytest.fixture
def client(runs_dir):
    return connect(default_tracking_uri(runs_dir))


def test_a_whole_search_is_recorded(folder, client):
    synced = sync(folder)
    assert (synced.name, synced.runs, synced.new) == ("demo-db", 1 + len(TRIALS), 1 + len(TRIALS))
    assert synced.store == default_tracking_uri(folder.parent)
    runs = runs_of(client)
    assert set(runs) == {"demo-db", *(f"trial-{number:03d}" for number in TRIALS)}
    parent = runs["demo-db"]
    assert parent.info.status == "KILLED"
    assert parent.data.tags["hpo.role"] == "search"
    assert parent.data.tags["mlflow.source.git.commit"] == "0123456789abcdef"
    assert parent.data.tags["version.torch"] == "2.13.0"
    assert parent.data.params["loss"] == "db"
    assert parent.data.params["search/grace_period"] == "1"
    assert not {"False", "[]", "None"} & {*parent.data.params.values()}
    assert json.loads(parent.data.params["space/learning_rate"])["high"] == 1e-3
    assert "learning_rate" not in parent.data.params
    [data] = parent.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("demo", "ab" * 6)


def test_trials_are_nested_with_their_status_and_metrics(folder, client):
    sync(folder)
    runs = runs_of(client)
    parent = runs["demo-db"].info.run_id
    want = {0: "FINISHED", 1: "FINISHED", 2: "FINISHED", 3: "FAILED", 4: "FAILED", 5: "KILLED"}
    for number, status in want.items():
        run = runs[f"trial-{number:03d}"]
        assert run.info.status == status
        assert run.data.tags["mlflow.parentRunId"] == parent
        assert run.data.tags["hpo.status"] == (TRIALS[number][3] or "interrupted")
    assert runs["trial-003"].data.tags["hpo.reason"] == "loss is not finite"
    history = client.get_metric_history(runs["trial-002"].info.run_id, "val/micro_f1")
    assert [m.step for m in history] == [1, 2, 3, 4]
    assert all(m.timestamp >= START * 1000 for m in history)
    best = runs["trial-002"].data.metrics
    assert (best["best/objective"], best["best/epoch"]) == (history[-1].value, 4)


def test_the_outcome_is_on_the_search(folder, client):
    (folder / "plots").mkdir()
    threshold_figure(test_report()).savefig(folder / "plots" / "threshold_curve.png")
    sync(folder)
    parent = runs_of(client)["demo-db"]
    metrics, run_id = parent.data.metrics, parent.info.run_id
    assert metrics["best/trial"] == BEST_TRIAL
    assert metrics["test/micro_f1"] == 0.83
    assert metrics["test/tail/micro_f1"] == 0.4
    assert metrics["test/single_label/micro_f1"] == 0.86
    note = parent.data.tags["mlflow.note.content"]
    assert "Best configuration: trial 2" in note
    assert "| head | 90.00 | 68.00 |" in note
    page = f"#/experiments/{parent.info.experiment_id}/runs"
    assert f"[report.html]({page}/{run_id}/artifacts/report.html)" in note
    search_id = parent.data.tags["hpo.search_id"]
    assert f"({page}?workflowType=machine_learning&viewStateShareKey={search_id})" in note
    assert "#RUN" not in note
    assert "#VIEW" not in note
    names = artifacts(client, run_id)
    want = {"spec.yaml", "dataset.json", "versions.json", "test_report.json", "summary.json"}
    assert want | {"best.yaml", "per_label.csv", "plots/threshold_curve.png"} == set(names)
    where = client.download_artifacts(run_id, "per_label.csv")
    with open(where) as file:  # noqa: PTH123
        rows = list(csv.DictReader(io.StringIO(file.read())))
    assert [row["label"] for row in rows] == list(LABELS)


def test_a_second_replay_changes_nothing(folder, client):
    assert sync(folder).runs == 1 + len(TRIALS)
    before = content(client)
    assert sync(folder).runs == 1 + len(TRIALS)
    assert content(client) == before


def test_a_confirmation_has_runs_of_its_own(runs_dir, client):
    folder = write_confirmed_search(runs_dir / "demo-db")
    assert sync(folder).runs == 1 + len(TRIALS) + len(SCORES)
    runs, before = runs_of(client), content(client)
    parent, run = runs["demo-db"], runs["confirm-002-seed-3"]
    assert {runs[f"confirm-{t:03d}-seed-{s}"].info.status for t, s in SCORES} == {"FINISHED"}
    assert (run.data.tags["hpo.role"], run.data.tags["hpo.seed"]) == ("confirm", "3")
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (run.data.params["seed"], run.data.params["gamma"]) == ("3", "2.5")
    assert run.data.metrics["best/objective"] == 0.82
    listed = client.search_runs([parent.info.experiment_id], _trials_filter(parent))
    assert {row.info.run_name for row in listed} == {f"trial-{number:03d}" for number in TRIALS}
    metrics, tags = parent.data.metrics, parent.data.tags
    assert metrics["confirm/trial_2/mean"] == pytest.approx(2.45 / 3)
    assert metrics["confirm/gain/mean"] == pytest.approx(0.08 / 3)
    assert (metrics["best/trial"], metrics["best/objective"]) == (2, 0.80)
    assert (tags["hpo.confirmed_trial"], tags["hpo.confirm_seeds"]) == ("2", "1, 2, 3")
    note = tags["mlflow.note.content"]
    assert "### Confirmed configuration: trial 2" in note
    assert "with the seeds 1, 2, 3: **0.8167**. The model is that of seed 1, after epoch 4" in note
    assert "| 0 | 79.00 | 1.00 |" in note
    assert sync(folder).runs == len(before)
    assert content(client) == before


def _trials_filter(parent):
    return trials_filter(parent.data.tags["hpo.search_id"])


def test_a_resumed_search_reuses_its_runs(folder, client):
    sync(folder)
    first = {name: run.info.run_id for name, run in runs_of(client).items()}
    spec = folder / "spec.yaml"
    spec.write_text(spec.read_text().replace("trials: 6", "trials: 8"))
    params = {"learning_rate": 8e-5, "gamma": 1.5, "mu": 0.9}
    later = START + 1000
    append_events(
        folder,
        [
            {"event": "search_started", "attempt": 2, "time": later},
            {"event": "trial_started", "trial": 6, "params": params, "resumes": 5, "time": later},
        ],
    )
    Replay(folder).advance()  # by a driver that is at work
    runs = runs_of(client)
    assert len(runs) == len(first) + 1
    assert {name: runs[name].info.run_id for name in first} == first
    parent = runs["demo-db"]
    assert parent.info.status == "RUNNING"
    assert parent.data.params["search/trials"] == "6"
    assert parent.data.tags["hpo.now.search/trials"] == "8"
    assert runs["trial-006"].data.tags["hpo.resumes"] == "5"


def test_a_torn_last_line_waits_for_its_end(runs_dir, client):
    folder = write_search_folder(runs_dir / "demo-db", whole=False)
    line = json.dumps(events()[FIRST_PART])
    with (folder / "journal.jsonl").open("a") as file:
        file.write(line[:20])
    sync(folder)
    with (folder / "journal.jsonl").open("a") as file:
        file.write(line[20:] + "\n")
    sync(folder)
    assert runs_of(client)["trial-001"].info.status == "FINISHED"


def test_two_searches_of_one_name_are_two(folder, client, tmp_path):
    sync(folder)
    other = write_search_folder(tmp_path / "elsewhere" / "demo-db")
    journal = other / "journal.jsonl"
    journal.write_text(journal.read_text().replace(f"{START}", f"{START + 1}"))
    sync(other, tracking_uri=default_tracking_uri(folder.parent))
    found = client.get_experiment_by_name("demo")
    names = [run.info.run_name for run in client.search_runs([found.experiment_id])]
    assert names.count("demo-db") == 2


def test_the_prepared_view_fits_into_a_tag():
    names = [field.name for field in dataclasses.fields(TrialConfig)]
    view = json.loads(shared_view("s" * 111, names))
    assert len(json.dumps(view)) < 20_000  # MLflow's limit
    assert view["orderByKey"] == "metrics.`best/objective`"


def test_the_score_that_is_the_objective_has_no_second_column():
    def columns(**told):
        found = json.loads(shared_view("s", ["gamma"], **told))["selectedColumns"]
        return [name for name in found if "f1" in name]

    assert columns() == ["metrics.`best/macro_f1`", "metrics.`best/tail_micro_f1`"]
    assert columns(objective="macro_f1") == [
        "metrics.`best/micro_f1`",
        "metrics.`best/tail_micro_f1`",
    ]


def test_what_is_stored_is_not_sent_again(folder, monkeypatch):
    sync(folder)
    sent = []
    log_batch = MlflowClient.log_batch

    def spy(self, run_id, metrics=(), **more):
        sent.extend(metrics)
        return log_batch(self, run_id, metrics=metrics, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", spy)
    sync(folder)
    assert sent == []
    last = {**events()[2], "trial": 5, "epoch": 3, "time": START + 900}
    append_events(folder, [last])
    sync(folder)
    assert {metric.step for metric in sent} == {0, 3}


def test_a_store_that_was_killed_while_it_was_made_is_made_again(tmp_path, monkeypatch):
    """MLflow would refuse a database that has some of its tables."""
    uri = default_tracking_uri(tmp_path)
    database = tmp_path / "mlflow.db"

    def killed(*_args, **_kwargs):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "search_experiments", killed)
        with pytest.raises(SystemExit):
            connect(uri)
    assert not database.exists()
    assert list(tmp_path.glob("mlflow.db.new-*"))
    with contextlib.closing(sqlite3.connect(f"{database}.new-1")) as half:
        half.execute("CREATE TABLE IF NOT EXISTS secrets (secret_id VARCHAR(36) NOT NULL)")
    client = connect(uri)
    assert [e.name for e in client.search_experiments()] == ["Default"]
    assert list(tmp_path.glob("mlflow.db.new*")) == []
    with contextlib.closing(sqlite3.connect(database)) as made:
        assert made.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_sqlite_knows_how_its_tables_have_grown(folder):
    """Without that the best of thousands of trials are listed in seconds, not at once."""
    sync(folder)
    with contextlib.closing(sqlite3.connect(folder.parent / "mlflow.db")) as database:
        rows = dict(database.execute("SELECT tbl, max(stat) FROM sqlite_stat1 GROUP BY tbl"))
    assert rows["runs"].split()[0] == str(1 + len(TRIALS))
    assert "latest_metrics" in rows


def test_statistics_are_no_reason_to_fail(tmp_path):
    refresh_statistics("http://127.0.0.1:1")
    refresh_statistics(f"sqlite:///{tmp_path}/no/such.db")
    (tmp_path / "other").write_text("no database, but as long as one would have to be")
    refresh_statistics(f"sqlite:///{tmp_path}/other")
