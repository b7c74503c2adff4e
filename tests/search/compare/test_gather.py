"""Searches that there are: told of in the paper's tables, refused in one line where they do not."""

import csv
import json

import pytest

from search.cli import main
from search.compare.gather import gather
from search.results import load_search
from tests.compared_searches import write_done
from tests.confirmed_search import write_confirmed_search
from tests.search_folder import write_search_folder
from trainable.errors import UsageError
from trainable.predictions import Predictions


@pytest.fixture
def runs(tmp_path):
    write_done(tmp_path / "a", "db", miss=0.05)
    write_done(tmp_path / "b", "bce", miss=0.5)
    write_done(tmp_path / "c", "fl", miss=None)
    return tmp_path


def compare(runs, *arguments):
    return main(["compare", *arguments, "--runs-dir", str(runs)])


def test_the_tables(runs, capsys):
    assert compare(runs, "--gather", "a", "b", "c", "--name", "x") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "micro-F1, more than noise: db over bce (+" in out
    assert "Not compared, for want of kept test predictions: fl." in out
    assert "`python -m search baseline svm` trains it" in out
    folder = runs / "compare-x"
    content = json.loads((folder / "comparison.json").read_text())
    assert [row["label"] for row in content["rows"]] == ["db", "bce", "fl"]
    record = load_search(runs / "a")
    for row in content["rows"]:
        assert row["test"]["total"]["micro_f1"] == record.test_report["micro_f1"]
        assert row["tuned"]["total"]["micro_f1"] == record.best.best_metrics["val/micro_f1"]
        gain = row["gain"]["micro_f1"]
        paper = record.paper.best_metrics["val/micro_f1"]
        assert gain["mean"] == pytest.approx(row["tuned"]["total"]["micro_f1"] - paper)
    [pair] = content["pairs"]
    assert (pair["first"], pair["second"], pair["micro_f1"]["noise"]) == ("db", "bce", False)
    found = [Predictions.load(runs / name / "test_predictions.npz") for name in "ab"]
    assert pair["micro_f1"]["difference"] == pytest.approx(f1_of(found[0]) - f1_of(found[1]))
    markdown = (folder / "comparison.md").read_text()
    assert markdown.startswith("# Comparison x\n")
    assert "| db - bce | real: micro and macro |" in markdown
    rows = list(csv.DictReader((folder / "scores.csv").read_text().splitlines()))
    [line] = [r for r in rows if (r["label"], r["kind"], r["row"]) == ("bce", "test", "tail")]
    assert float(line["micro_f1"]) == record.test_report["tail"]["micro_f1"]
    differences = list(csv.DictReader((folder / "differences.csv").read_text().splitlines()))
    assert [row["score"] for row in differences] == ["micro_f1", "macro_f1"]


def f1_of(found):
    """scikit-learn's."""
    from sklearn.metrics import f1_score

    num_labels = len(found.label_names)
    true, predicted = (s.matrix(num_labels).toarray() for s in (found.true, found.predicted))
    return f1_score(true, predicted, average="micro")


def test_two_searches_of_one_loss_go_by_their_names(runs):
    write_done(runs / "d", "db")
    assert [entry.label for entry in gather(["a", "d", "b"], runs)] == ["a", "d", "bce"]


def test_a_confirmed_search_has_its_gain_with_an_interval(runs, capsys):
    folder = write_confirmed_search(runs / "confirmed")
    report = json.loads((folder / "test_report.json").read_text())
    (folder / "test_report.json").write_text(json.dumps({**report, "seed": 1}))
    assert compare(runs, "--gather", "confirmed", "a", "--name", "x") == 0
    content = json.loads((runs / "compare-x" / "comparison.json").read_text())
    gain = content["rows"][0]["gain"]["micro_f1"]
    assert gain["n"] == 3
    assert gain["low"] < gain["mean"] < gain["high"]
    assert gain["noise"] == (gain["low"] <= 0 <= gain["high"])
    assert "noise" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["md", "json", "csv"])
def test_a_copy_where_the_user_wants_it(runs, tmp_path, suffix):
    path = tmp_path / f"copy.{suffix}"
    assert compare(runs, "--gather", "a", "b", "--out", str(path)) == 0
    names = {"md": "comparison.md", "json": "comparison.json", "csv": "scores.csv"}
    folder = runs / "compare-gathered-a"
    if suffix == "json":
        assert json.loads(path.read_text()) == json.loads((folder / names[suffix]).read_text())
    else:
        assert path.read_text() == (folder / names[suffix]).read_text()


def refused(runs, capsys, *arguments, code=2):
    before = sorted(runs.iterdir())
    assert compare(runs, *arguments) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sorted(runs.iterdir()) == before
    return err.removeprefix("error: ").rstrip("\n")


def test_what_does_not_compare_is_one_line(runs, capsys, tmp_path):
    write_search_folder(runs / "half")
    found = refused(runs, capsys, "--gather", "a", "half")
    assert found == (
        "search 'half' has no test scores yet (interrupted): finish it with "
        "`python -m search resume half`, or leave it out"
    )
    dataset = runs / "b" / "dataset.json"
    dataset.write_text(json.dumps({**json.loads(dataset.read_text()), "fingerprint": "cd" * 32}))
    found = refused(runs, capsys, "--gather", "a", "b")
    assert found == (
        "searches 'a' and 'b' are of other data, or of another split: their scores do not compare; "
        "leave one of them out"
    )
    assert refused(runs, capsys, "--gather", "a", "z").startswith("unknown search 'z'")
    found = refused(runs, capsys, "--gather", "a", "c", "--out", str(tmp_path / "no" / "x.md"))
    assert found.endswith("must be a file in a folder that there is")


def test_a_search_that_runs_is_waited_for(runs, monkeypatch):
    monkeypatch.setattr("search.compare.searches.is_live", lambda folder: folder.name == "b")
    with pytest.raises(UsageError, match=r"^search 'b' is running \(process .*wait for its end"):
        gather(["a", "b"], runs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --losses to search, or --gather with the names of searches"),
        (("--losses", "bce,db", "--gather", "a", "b"), "give --losses to search, or --gather"),
        (("--losses", "bce"), "a comparison is of at least two, all different: got bce"),
        (("--gather", "a", "a"), "a comparison is of at least two, all different: got a, a"),
        (("--losses", "bce,dbb"), "unknown loss 'dbb'"),
        (("--gather", "a", "b", "--trials", "3"), "--trials is for --losses: a gathered search is"),
        (("--gather", "a", "b", "--set", "dropout=0.1"), "--set is for --losses"),
        (("--gather", "a", "b", "--name", "a/b"), "name"),
    ],
)
def test_what_is_asked_for_in_one_line(runs, capsys, arguments, message):
    assert message in refused(runs, capsys, *arguments)


def test_a_folder_that_cannot_be_written_loses_nothing(runs, capsys):
    (runs / "compare-x").write_text("in the way")
    assert compare(runs, "--gather", "a", "b", "--name", "x") == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "what was searched is safe" in err
