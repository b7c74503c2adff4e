"""summary.json, trials.csv and the tables, from a hand-written search."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from search.chosen import chosen_table
from search.hardware import Hardware
from search.published import PUBLISHED, PUBLISHED_BY_LABELS, published_row, unlike_paper
from search.report_page.outcome import sentence
from search.request import RunRequest
from search.resolve import resolve
from search.results import load_search
from search.summary import summarize, write_summary
from search.tables import (
    counts_line,
    score_notes,
    scores_table,
    trials_table,
)
from tests.auto_search import auto_record
from tests.search_folder import append_events, objective, write_search_folder

REFERENCE = Path(__file__).resolve().parents[3] / "shared/reference/huang2021.json"


@pytest.fixture(params=["demo", "reuters"])
def record(request, tmp_path):
    return load_search(write_search_folder(tmp_path / "db-search", dataset=request.param))


def text_of(renderable) -> str:
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    console.print(renderable)
    return console.export_text()


def test_the_summary(record):
    summary = write_summary(record)
    assert json.loads((record.folder / "summary.json").read_text()) == summary
    best, paper = summary["best"], summary["paper_values"]
    assert (best["trial"], best["objective"], best["epoch"]) == (2, objective(2, 4), 4)
    assert best["params"]["gamma"] == 2.5
    assert summary["validation"]["macro_f1"] == objective(2, 4) - 0.2
    assert set(summary["validation"]) >= {"head", "medium", "tail", "micro_f1_at_0.5"}
    assert (summary["test"]["micro_f1"], summary["test"]["tail"]["micro_f1"]) == (0.83, 0.4)
    assert summary["test"]["single_label"]["num_docs"] == 250
    assert summary["validation"]["multi_label"]["num_docs"] == 30
    assert "per_label" not in summary["test"]
    assert summary["test_evaluations"] == 1
    assert (paper["trial"], paper["objective"]) == (0, objective(0, 4))
    assert summary["gain_over_paper_values"]["micro_f1"] == pytest.approx(0.02)
    assert summary["trials"] == {
        **{"total": 6, "completed": 2, "diverged": 1, "interrupted": 1},
        **{"out_of_memory": 1, "stopped": 1},
    }
    assert (summary["epochs"], summary["status"]) == (13, "interrupted")
    assert summary["wall_s"] == record.wall_s


def test_the_gain_is_none_where_trial_0_won(tmp_path):
    folder = write_search_folder(tmp_path / "s", whole=False)
    summary = write_summary(load_search(folder))
    assert summary["best"]["trial"] == 0
    assert summary["gain_over_paper_values"] == {"micro_f1": 0.0, "macro_f1": 0.0}
    assert summary["test"] is not None or summary["status"] == "interrupted"


def test_a_search_without_an_epoch(tmp_path):
    folder = write_search_folder(tmp_path / "s", whole=False)
    (folder / "journal.jsonl").write_text("")
    append_events(folder, [{"event": "search_started", "attempt": 1, "time": 1.0}])
    record = load_search(folder)
    summary = write_summary(record)
    assert (summary["best"], summary["validation"], summary["paper_values"]) == (None, None, None)
    assert summary["gain_over_paper_values"] is None
    assert counts_line(summary) == "0 trials (none began), 0 epochs, 0 s"
    assert text_of(scores_table(record, summary))


def test_trials_csv(record):
    write_summary(record)
    with (record.folder / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == [trial.status for trial in record.trials]
    assert float(rows[2]["objective"]) == objective(2, 4)
    assert float(rows[2]["params/learning_rate"]) == 2e-4
    assert float(rows[2]["val/tail/micro_f1"]) == pytest.approx(objective(2, 4) - 0.2)
    assert rows[3]["reason"] == "loss is not finite"
    assert {row["restarts"] for row in rows} == {""}
    assert rows[5]["seconds"] == ""


def test_trials_csv_says_why_a_trial_started_again(tmp_path):
    folder = write_search_folder(tmp_path / "s")
    again = {"event": "trial_restarted", "trial": 2, "time": 2e9}
    append_events(folder, [{**again, "reason": reason} for reason in ("it died", "no memory")])
    write_summary(load_search(folder))
    with (folder / "trials.csv").open(newline="") as file:
        assert [row["restarts"] for row in csv.DictReader(file)][2] == "it died; no memory"


def test_the_tables_fit_80_columns(record):
    summary = write_summary(record)
    notes = score_notes(record, summary)
    for table in (
        chosen_table(record.spec),
        trials_table(record),
        scores_table(record, summary),
    ):
        text = text_of(table)
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
    text = text_of(scores_table(record, summary))
    assert "83.00/61.00" in text
    assert "best (trial 2), test" in text
    assert text.count("40.00/18.00") == 1  # the last column is there
    assert ("published db, test" in text) == (record.spec.config.dataset == "reuters")
    assert notes[0] == (
        "test by labels per document: single-label 86.00/64.00 (250 documents), "
        "multi-label 70.00/48.00 (50 documents)"
    )
    assert notes[1] == "gain over the paper's values on validation: micro +2.00, macro +2.00"


def test_a_gain_over_a_trial_that_was_stopped_says_so(record):
    first = record.trials[0]
    stopped = dataclasses.replace(first, status="stopped", epochs=first.epochs[:1])
    record = dataclasses.replace(record, trials=(stopped, *record.trials[1:]))
    [said] = [note for note in score_notes(record, summarize(record)) if note.startswith("gain")]
    assert said.endswith("; trial 0 stopped after 1 of 4 epochs, so part of it is longer training")


def test_of_several_losses_the_gain_is_over_that_of_trial_0(tmp_path):
    record = auto_record(tmp_path)
    summary = summarize(record)
    text = text_of(scores_table(record, summary))
    assert "paper's loss values of" in text  # wrapped, and no number is cut
    assert "…" not in text
    assert "gain over the paper's loss values of db on validation: micro +20.00, macro +20.00" in (
        score_notes(record, summary)
    )
    assert "against the paper's loss values of db." in sentence(record, summary)
    best = dataclasses.replace(record, trials=record.trials[:4])  # now trial 0
    assert sentence(best, summarize(best)).endswith(
        "These are the paper's loss values of db: nothing better was found."
    )
    other = dataclasses.replace(record.trials[2], epochs=record.trials[4].epochs)
    best = dataclasses.replace(record, trials=(*record.trials[:2], other))
    said = sentence(best, summarize(best))
    assert said.endswith("of db. Its settings are the paper's loss values of fl.")


def test_a_second_look_at_the_test_set_is_said(record):
    said = "the test set was opened 2 times in this search"
    assert said not in score_notes(record, write_summary(record))
    append_events(record.folder, [{"event": "test_evaluated", "trial": 2, "time": 2e9}])
    again = load_search(record.folder)
    assert said in score_notes(again, write_summary(again))


def test_what_cannot_be_compared_is_said(tmp_path):
    record = load_search(write_search_folder(tmp_path / "s", dataset="reuters"))
    notes = score_notes(record, write_summary(record))
    assert notes[-1] == (
        "published: Huang et al. 2021, table 2, bert-base-cased on all documents; ours has "
        "the encoder minilm, at most 4 epochs: not comparable"
    )


def test_the_papers_epochs_can_be_compared(tmp_path):
    folder = write_search_folder(tmp_path / "s", dataset="reuters")
    record = load_search(folder)
    config = record.spec.config.replace(epochs=40, encoder="bert-base-cased")
    record = dataclasses.replace(record, spec=record.spec.replace(config=config))
    assert score_notes(record, write_summary(record))[-1].endswith("on all documents")


@pytest.mark.parametrize(
    ("settings", "unlike"),
    [
        ((), ()),
        (("learning_rate=1e-4", "gamma=2", "mu=0.9"), ()),
        (("learning_rate=2e-4",), ("learning_rate",)),
        (("gamma=1", "mu=0.3"), ("gamma", "mu")),
    ],
)
def test_values_that_are_not_the_papers_are_not_called_so(settings, unlike, tmp_path):
    hardware = Hardware(cpus=2, memory_gib=16.0, gpus=0)
    spec = resolve(RunRequest(loss="db", tune="all", settings=settings), hardware, mu=0.7)
    assert unlike_paper(spec) == unlike
    record = load_search(write_search_folder(tmp_path / "s"))
    record = dataclasses.replace(record, spec=spec)
    summary = write_summary(record)
    words = "starting values" if unlike else "paper's values"
    assert f"{words}, val" in text_of(scores_table(record, summary))
    assert f"gain over the {words} on validation: micro" in "\n".join(score_notes(record, summary))


def test_a_range_without_the_papers_value_begins_elsewhere(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("learning_rate: {low: 1e-5, high: 5e-5}\n")
    hardware = Hardware(cpus=2, memory_gib=16.0, gpus=0)
    assert unlike_paper(resolve(RunRequest(loss="bce", tune="all", space=str(path)), hardware)) == (
        "learning_rate",
    )


def test_counts_line(record):
    assert counts_line(write_summary(record)) == (
        "6 trials (2 completed, 1 diverged, 1 interrupted, 1 out of memory, 1 stopped), "
        "13 epochs, 4 min 20 s"
    )


def test_the_published_table():
    if not REFERENCE.exists():
        pytest.skip("the reference tables are not beside this checkout")
    tables = json.loads(REFERENCE.read_text())["reuters"]
    published = tables["total_head_medium_tail"]
    ours = {
        loss: [list(row.total), list(row.head), list(row.medium), list(row.tail)]
        for loss, row in PUBLISHED.items()
    }
    assert ours == published
    by_labels = {k: v for k, v in tables["by_labels_per_document"].items() if k != "columns"}
    assert {k: [*map(list, v)] for k, v in PUBLISHED_BY_LABELS.items()} == by_labels
    assert published_row("demo", "db") is None
    assert published_row("reuters", "db").total == (90.62, 64.47)
