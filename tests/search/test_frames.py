"""Frames hold the numbers of the folder: each against its own file."""

import csv
import json

import pandas as pd
import pytest

from search.frames import (
    confirmation_frame,
    epochs_frame,
    per_label_frame,
    scores_frame,
    trials_frame,
)
from search.results import load_search
from search.summary import write_trials
from tests.search_folder import BEST_TRIAL, TRIALS, append_events, epoch_metrics
from tests.search_folder import write_search_folder as write
from trainable.config import BEST_OBJECTIVE


@pytest.fixture
def record(tmp_path):
    return load_search(write(tmp_path / "mine"))


def test_trials_are_those_of_the_csv(record, tmp_path):
    frame = trials_frame(record)
    write_trials(record, tmp_path / "trials.csv")
    read = pd.read_csv(tmp_path / "trials.csv", index_col="trial")
    with (tmp_path / "trials.csv").open() as file:
        assert list(frame.reset_index().columns) == next(csv.reader(file))
    assert frame["objective"].idxmax() == BEST_TRIAL
    for name in read.columns:
        told = frame[name].replace("", None)  # CSV has no empty text
        assert list(told[told.notna()]) == list(read[name].dropna()), name
    assert read.notna().all(axis=0).sum() > 5


def test_epochs_are_those_of_the_journal(record):
    frame = epochs_frame(record)
    rows = map(json.loads, (record.folder / "journal.jsonl").read_text().splitlines())
    told = {(row["trial"], row["epoch"]): row["metrics"] for row in rows if row["event"] == "epoch"}
    assert list(frame.index) == sorted(told)
    for key, metrics in told.items():
        assert frame.loc[key, "val/micro_f1"] == metrics["val/micro_f1"]
    assert frame["val/micro_f1"].unstack("trial").count().to_dict() == {
        number: epochs for number, (_, _, epochs, _) in TRIALS.items()
    }


def test_labels_are_those_of_the_test_report(record):
    frame = per_label_frame(record)
    report = json.loads((record.folder / "test_report.json").read_text())
    assert list(frame.index) == [row["label"] for row in report["per_label"]]
    assert list(frame["f1"]) == [row["f1"] for row in report["per_label"]]


def test_scores_stand_beside_each_other(record):
    frame = scores_frame(record)
    trials = trials_frame(record)
    assert list(frame.index) == [("paper's values", "val"), ("best", "val"), ("best", "test")]
    total = frame["total"]
    assert total.loc[("paper's values", "val"), "micro_f1"] == trials.loc[0, "val/micro_f1"]
    assert total.loc[("best", "val"), "macro_f1"] == trials.loc[BEST_TRIAL, "val/macro_f1"]
    report = json.loads((record.folder / "test_report.json").read_text())
    assert total.loc[("best", "test"), "micro_f1"] == report["micro_f1"]
    tail = frame["tail"].loc[("best", "val"), "micro_f1"]
    assert tail == trials.loc[BEST_TRIAL, "val/tail/micro_f1"]


def test_confirmation_by_trial_and_seed(record):
    assert confirmation_frame(record).index.names == ["trial", "seed"]
    scores = {(2, 1): 0.84, (2, 2): 0.82, (0, 1): 0.81, (0, 2): 0.8}
    rows = [{"event": "confirm_planned", "trials": [2, 0], "seeds": [1, 2], "paper": 0}]
    for (number, seed), score in scores.items():
        who = {"trial": number, "seed": seed}
        metrics = {**epoch_metrics(number, 1), BEST_OBJECTIVE: score}
        rows += [
            {"event": "confirm_started", **who},
            {"event": "confirm_epoch", **who, "epoch": 1, "metrics": metrics},
            {"event": "confirm_ended", **who, "status": "completed"},
        ]
    append_events(record.folder, [{**row, "time": 1.0} for row in rows])
    assert confirmation_frame(load_search(record.folder))["objective"].to_dict() == scores


def test_an_empty_search_has_empty_frames(tmp_path):
    folder = write(tmp_path / "mine", whole=False)
    (folder / "journal.jsonl").write_text("")
    record = load_search(folder)
    frames = [trials_frame, epochs_frame, confirmation_frame, per_label_frame, scores_frame]
    assert [len(make(record)) for make in frames] == [0, 0, 0, 0, 0]
    assert trials_frame(record).index.name == "trial"
    assert epochs_frame(record).index.names == ["trial", "epoch"]
