"""A baseline in the summary and the table of a search on the same data."""

import json

import pytest
from rich.console import Console

from search.baseline.folder import folder_for, write_baseline
from search.baseline.scored import score_svm
from search.report_page.write import build_page
from search.results import load_search
from search.summary import summarize
from search.tables import score_notes, scores_table
from tests.search_folder import write_search_folder
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def scored():
    return score_svm(tiny_dataset())


@pytest.fixture
def folder(tmp_path):
    return write_search_folder(tmp_path / "one")


def with_baseline(folder, scored, fingerprint=None):
    found = json.loads((folder / "dataset.json").read_text())
    data = {**found, "fingerprint": fingerprint or found["fingerprint"]}
    there = folder_for(folder.parent, "svm", data)
    write_baseline(there, scored, data, {})
    return there


def text_of(table):
    console = Console(width=120)
    with console.capture() as caught:
        console.print(table)
    return caught.get()


def test_is_a_row_and_a_note(folder, scored):
    there = with_baseline(folder, scored)
    scored.predictions.save(folder / "test_predictions.npz")  # a winner that is the svm itself
    record = load_search(folder)
    summary = summarize(record)
    [baseline] = summary["baselines"]
    assert (baseline["kind"], baseline["folder"]) == ("svm", there.name)
    assert baseline["test"]["micro_f1"] == scored.report["micro_f1"]
    assert baseline["difference"]["total"]["micro_f1"]["difference"] == 0.0
    assert json.loads(json.dumps(summary["baselines"])) == summary["baselines"]
    [row] = [line for line in text_of(scores_table(record, summary)).splitlines() if "svm" in line]
    assert f"{100 * scored.report['micro_f1']:.2f}/{100 * scored.report['macro_f1']:.2f}" in row
    note = "over the svm on test (95 %): micro +0.00 (+0.00 to +0.00), macro +0.00"
    assert any(line.startswith(note) for line in score_notes(record, summary))
    page = build_page(record, [], runs_dir="runs", now=record.began + 1000)
    [table] = [p for p in page.sections[0].parts if getattr(p, "title", "") == "F1 in per cent"]
    [cells] = [row for row in table.rows if row[0] == "svm, test"]
    assert cells[1] == f"{100 * scored.report['micro_f1']:.2f}"
    assert any(line.startswith(f"O{note[1:]}") for line in table.notes)


@pytest.mark.parametrize("damage", ["none", "broken", "other documents"])
def test_without_predictions_to_compare_there_is_no_difference(folder, scored, damage):
    there = with_baseline(folder, scored)
    if damage == "broken":
        (folder / "test_predictions.npz").write_bytes(b"no")
    elif damage == "other documents":
        score_svm(tiny_dataset(test=9)).predictions.save(folder / "test_predictions.npz")
    record = load_search(folder)
    [baseline] = summarize(record)["baselines"]
    assert baseline["difference"] is None
    assert there.name == baseline["folder"]
    assert not any("over the svm" in line for line in score_notes(record, summarize(record)))


def test_a_baseline_of_other_data_is_none_of_its(folder, scored):
    with_baseline(folder, scored, fingerprint="0" * 64)
    assert summarize(load_search(folder))["baselines"] == []


def test_intervals_are_rows(folder):
    path = folder / "test_report.json"
    report = json.loads(path.read_text())
    ends = {"micro_f1": [0.8123, 0.8456], "macro_f1": [0.5789, 0.6234]}
    path.write_text(json.dumps({**report, "intervals": {"level": 0.95, "total": ends}}))
    record = load_search(folder)
    text = text_of(scores_table(record, summarize(record)))
    assert "81.23/57.89" in text
    assert "84.56/62.34" in text
    assert summarize(record)["test"]["intervals"]["total"] == ends
