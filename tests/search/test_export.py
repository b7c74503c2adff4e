"""From a search folder to a file that can be trained again."""

import json

import pytest

from search.cli import main
from search.results import load_search
from tests.search_folder import objective, write_search_folder
from trainable.best import BestConfig


@pytest.fixture
def runs(tmp_path):
    write_search_folder(tmp_path / "runs" / "mine")
    return tmp_path / "runs"


def test_the_exported_file_loads(runs, tmp_path, capsys):
    path = tmp_path / "out.yaml"
    assert main(["export", "mine", "-o", str(path), "--runs-dir", str(runs)]) == 0
    assert capsys.readouterr().out == (
        f"wrote    {path}\nretrain  python -m trainable {path} --out MODEL\n"
    )
    best = BestConfig.load(path)
    record = load_search(runs / "mine")
    assert best.config == record.spec.trial_config(record.best.params)
    assert (best.best_epoch, best.threshold) == (4, 0.4)
    assert best.objective == objective(2, 4)
    assert best.data_fingerprint == "ab" * 32
    assert best.versions == {
        "python": "3.11.9",
        "git_commit": "0123456789abcdef",
        "torch": "2.13.0",
    }
    assert (best.search["name"], best.search["trial"]) == ("mine", 2)


def test_nothing_to_export(runs, capsys):
    (runs / "mine/journal.jsonl").write_text("")
    assert main(["export", "mine", "--runs-dir", str(runs)]) == 1
    assert capsys.readouterr().err == (
        "error: search 'mine' has no finished epoch yet: there is nothing to export\n"
    )


def test_no_description_of_the_data(runs, capsys):
    (runs / "mine/dataset.json").write_text(json.dumps({}))
    assert main(["export", "mine", "--runs-dir", str(runs)]) == 1
    assert "dataset.json is missing or damaged: cannot export" in capsys.readouterr().err


@pytest.mark.parametrize("name", [".", "..", ""])
def test_a_folder_is_no_file(name, runs, capsys):
    assert main(["export", "mine", "-o", name, "--runs-dir", str(runs)]) == 1
    assert capsys.readouterr().err == (
        f"error: {name or '.'}: cannot be written (it is a folder; name a file)\n"
    )


def test_an_unknown_users_home(runs, capsys):
    assert main(["export", "mine", "-o", "~nosuchuser/b.yaml", "--runs-dir", str(runs)]) == 2
    assert capsys.readouterr().err.startswith("error: --output ~nosuchuser/b.yaml: no home folder")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"event": "epo', "is damaged"),
        ("17", "is damaged"),
        ('{"event": "epoch", "time": 1.0, "trial": 0}', "is damaged"),
        (
            '{"event": "trial_ended", "time": 1.0, "trial": 77, "status": "failed"}',
            "tells of a trial that never started",
        ),
    ],
)
@pytest.mark.parametrize("command", ["export", "resume"])
def test_a_damaged_journal(command, line, message, runs, capsys, monkeypatch):
    monkeypatch.setattr("search.run.read_data", lambda *_: None)
    path = runs / "mine/journal.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], line, *lines[3:]]) + "\n")
    assert main([command, "mine", "--runs-dir", str(runs)]) == 2
    assert capsys.readouterr().err == (
        f"error: {path} line 4 {message}: restore the file, or take that line out\n"
    )


def test_a_spec_with_a_date_that_is_none(runs, capsys):
    path = runs / "mine/spec.yaml"
    path.write_text(path.read_text() + "seed: 2024-13-45\n")
    assert main(["export", "mine", "--runs-dir", str(runs)]) == 2
    assert capsys.readouterr().err == (f"error: {path}: not valid YAML (month must be in 1..12)\n")


def test_a_file_that_cannot_be_written(runs, tmp_path, capsys):
    path = tmp_path / "none/out.yaml"
    assert main(["export", "mine", "-o", str(path), "--runs-dir", str(runs)]) == 1
    assert capsys.readouterr().err == (
        f"error: {path}: cannot be written (No such file or directory)\n"
    )


def test_a_misspelt_search(runs, capsys):
    assert main(["export", "mnie", "--runs-dir", str(runs)]) == 2
    assert capsys.readouterr().err == (
        "error: unknown search 'mnie': did you mean 'mine'? Allowed: mine\n"
    )


def test_another_trial_than_the_best(runs, tmp_path, capsys):
    path = tmp_path / "out.yaml"
    command = ["export", "mine", "-o", str(path), "--runs-dir", str(runs)]
    assert main([*command, "--trial", "0"]) == 0
    assert BestConfig.load(path).search["trial"] == 0
    assert BestConfig.load(path).objective == objective(0, 4)
    capsys.readouterr()
    assert main([*command, "--trial", "9"]) == 2
    assert capsys.readouterr().err == (
        "error: --trial 9: search 'mine' has no trial of that number with a finished epoch; "
        "choose one of 0, 1, 2, 3, 4, 5\n"
    )
