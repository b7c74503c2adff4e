"""A search as its files tell it; nothing is touched."""

import json

import pytest

from search.cli import main
from search.lock import hold
from search.show import describe_search
from tests.search_folder import EPOCHS, START, epoch_metrics, write_search_folder


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path / "runs"


def show(runs, capsys, *options):
    assert main(["show", "mine", *options, "--runs-dir", str(runs)]) == 0
    return capsys.readouterr().out


def contents(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_what_was_chosen_what_came_out_where_it_lies_and_what_is_next(runs, capsys):
    folder = write_search_folder(runs / "mine")
    before = contents(folder)
    out = show(runs, capsys)
    for text in (
        "loss         db (released formula)",
        "interrupted, 5 of 6 trials done: Ctrl-C",
        "best (trial 2), test",
        f"results        {folder}/summary.json, trials.csv",
        f"retrain        python -m trainable {folder}/best.yaml --out MODEL",
        f"MLflow         python -m mlflow_server --runs-dir {runs}",
        f"next           python -m search resume mine --runs-dir {runs}",
    ):
        assert text in out
    counts = "(2 completed, 1 diverged, 1 interrupted, 1 out of memory, 1 stopped), 13 epochs"
    assert f"6 trials {counts}" in " ".join(out.split())  # it may be wrapped
    assert contents(folder) == before


def test_a_running_search_shows_its_trials_with_epoch_and_time(runs, capsys):
    folder = write_search_folder(runs / "mine", whole=False)
    (folder / "summary.json").unlink(missing_ok=True)
    with hold(folder):
        before = contents(folder)
        out = show(runs, capsys)
        assert contents(folder) == before
    assert "running, 1 of 6 trials done, about " in out
    # one of four epochs, which take 9.5 s
    [row] = [line for line in out.splitlines() if line.startswith("trial 1")]
    assert row.split()[2:7] == ["1/4", "55.00", "up", "to", "0:00:28"]
    assert f"next           python -m search stop mine --runs-dir {runs}" in out
    assert "results  " not in out  # nothing is written yet


def test_json_is_the_summary_and_the_running_trials(runs, capsys):
    folder = write_search_folder(runs / "mine", whole=False)
    with hold(folder):
        found = json.loads(show(runs, capsys, "--json"))
    assert found["format"] == "longtail-search/summary"
    assert (found["status"], found["trials_planned"]) == ("running", 6)
    assert found["trials"] == {"total": 2, "completed": 1, "running": 1}
    [trial] = found["running"]
    assert (trial["trial"], trial["epoch"], trial["epochs"]) == (1, 1, EPOCHS)
    assert trial["left_s"] == 3 * epoch_metrics(1, 1)["time/epoch_s"]
    assert trial["params"]["learning_rate"] == 3e-5
    assert found["eta_s"] > 0

    found = json.loads(show(runs, capsys, "--json"))
    assert (found["status"], found["running"], found["eta_s"]) == ("interrupted", [], None)


def test_a_search_without_a_finished_epoch(runs, capsys):
    folder = write_search_folder(runs / "mine", whole=False)
    event = {"event": "search_started", "attempt": 1, "time": START}
    (folder / "journal.jsonl").write_text(json.dumps(event) + "\n")
    with hold(folder):
        out = show(runs, capsys)
        assert describe_search(folder)["best"] is None
    assert "running, 0 of 6 trials done, time left unknown" in out
    assert "0 trials (none began), 0 epochs" in out


def test_a_completed_search_is_next_exported(runs, capsys, monkeypatch):
    folder = write_search_folder(runs / "mine")
    monkeypatch.chdir(runs.parent)
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"interrupted"', '"completed"'))
    assert main(["show", "mine"]) == 0
    assert "next           python -m search export mine\n" in capsys.readouterr().out


def test_what_cannot_be_shown_is_one_line(runs, capsys):
    assert main(["show", "mine", "--runs-dir", str(runs)]) == 2
    assert capsys.readouterr().err.startswith("error: no search 'mine'")
    folder = write_search_folder(runs / "mine")
    (folder / "journal.jsonl").write_text("nonsense\n")
    assert main(["show", "mine", "--runs-dir", str(runs)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("journal.jsonl line 1 is damaged: restore the file, or take that line out")
