"""The searches of a folder, whatever state they are in."""

import json
import os

import pytest

from search.cli import main
from search.listing import list_searches, listing_table, row_of
from search.lock import hold
from tests.search_folder import START, TRIALS, objective, write_search_folder


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An older search, one that runs, a damaged one, and folders that are no search."""
    monkeypatch.setenv("COLUMNS", "80")
    runs = tmp_path / "runs"
    write_search_folder(runs / "old")
    journal = write_search_folder(runs / "new", whole=False) / "journal.jsonl"
    journal.write_text(journal.read_text().replace(str(START)[:4], "1800"))
    (runs / "broken").mkdir()
    (runs / "broken/spec.yaml").write_text("trials: [")
    os.utime(runs / "broken", (START - 5, START - 5))
    (runs / "mlartifacts").mkdir()
    (runs / "mlflow.db").touch()
    return runs


def test_newest_first_and_what_is_damaged_hides_nothing(runs, capsys):
    with hold(runs / "new"):
        assert main(["list", "--runs-dir", str(runs)]) == 0
    out, err = capsys.readouterr()
    head, new, old = out.splitlines()
    assert head.split() == ["name", "status", "loss", "data", "trials", "val", "began", "took"]
    assert new.split()[:6] == ["new", "running", "db", "demo", "1/6", "74.00"]
    assert old.split()[:6] == ["old", "interrupted", "db", "demo", "5/6", "76.00"]
    [line] = err.splitlines()
    assert line.startswith(f"warning: broken is damaged: {runs}/broken/spec.yaml: not valid YAML")


def test_json_has_every_search(runs, capsys):
    assert main(["list", "--json", "--runs-dir", str(runs)]) == 0
    new, old, broken = json.loads(capsys.readouterr().out)
    assert (new["status"], new["trials_done"], new["best_trial"]) == ("interrupted", 1, 0)
    assert old == {
        "name": "old",
        "folder": str(runs / "old"),
        "status": "interrupted",
        "reason": "Ctrl-C",
        "loss": "db",
        "dataset": "demo",
        "trials_done": 5,
        "trials": len(TRIALS),
        "best_trial": 2,
        "objective": objective(2, 4),
        "began": START,
        "wall_s": old["wall_s"],
    }
    assert old["wall_s"] > 0
    assert (broken["name"], broken["status"]) == ("broken", "damaged")
    assert "not valid YAML" in broken["reason"]


def test_age_and_duration(runs):
    [_, old, _] = list_searches(runs)
    table = listing_table([old], now=START + 2.5 * 86400)
    cells = [next(iter(column.cells)) for column in table.columns]
    assert cells[-2:] == ["2 d ago", f"{int(row_of(old)['wall_s'] // 60)} min"]


@pytest.mark.parametrize(
    "event",
    [
        {"event": "epoch", "trial": 0, "epoch": 1, "metrics": {}, "time": 1.0},
        {"event": "trial_ended", "trial": 0, "status": "completed", "time": "never"},
        {"event": "search_started", "time": None},
    ],
)
def test_a_journal_edited_into_nonsense_is_a_line(runs, event):
    with (runs / "old/journal.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")
    names = {item.folder.name for item in list_searches(runs)}
    assert names == {"new", "old", "broken"}


def test_a_folder_without_searches_says_so(tmp_path, capsys):
    assert main(["list", "--runs-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no searches in {tmp_path}; see --runs-dir\n"
    assert main(["list", "--json", "--runs-dir", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_no_such_folder_is_one_line(tmp_path, capsys):
    assert main(["list", "--runs-dir", str(tmp_path / "none")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line == (
        f"error: --runs-dir {tmp_path}/none: cannot be read (No such file or directory); name the "
        "folder that `run` wrote to"
    )
