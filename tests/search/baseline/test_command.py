"""`python -m search baseline svm`: what it prints, writes and refuses."""

import json

import pytest

from search.baseline import command
from search.cli import main

DEMO = ("--dataset", "demo", "--max-train-docs", "300")


@pytest.fixture
def told(monkeypatch):
    """What MLflow would be told of, without MLflow."""
    calls = []
    monkeypatch.setattr(command, "log_baseline", lambda folder, uri: calls.append((folder, uri)))
    return calls


def test_json_ends_with_one_line(tmp_path, told, capsys):
    assert main(["baseline", "svm", *DEMO, "--runs-dir", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    [line] = out.splitlines()
    row = json.loads(line)
    folder = tmp_path / "baseline-svm-demo"
    assert row["folder"] == str(folder)
    report = json.loads((folder / "test_report.json").read_text())
    for score in ("micro_f1", "macro_f1"):
        assert row[f"test/{score}"] == report[score]
        for group in ("head", "medium", "tail"):
            assert row[f"test/{group}/{score}"] == report[group][score]
    assert 0.3 < row["test/micro_f1"] <= 1  # it learns something
    assert told == [(folder, f"sqlite:///{tmp_path / 'mlflow.db'}")]
    assert "svm, test" in err


def test_the_table_has_intervals(tmp_path, told, capsys):
    uri = f"sqlite:///{tmp_path / 'other.db'}"
    words = ["baseline", "svm", *DEMO, "--runs-dir", str(tmp_path), "--tracking-uri", uri]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "svm, val" in out
    assert "95 % from" in out
    assert "chosen on validation" in out
    assert "published" not in out  # the paper knows nothing of the demo
    assert told[0][1] == uri


def test_a_store_that_fails_costs_a_warning(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("no answer from http://ann:secret@host/api")

    monkeypatch.setattr(command, "log_baseline", fail)
    monkeypatch.setattr(command, "check_tracking", lambda *_: None)
    monkeypatch.setenv("LONGTAIL_TRACKING_URI", "http://ann:secret@host")
    assert main(["baseline", "svm", *DEMO, "--runs-dir", str(tmp_path)]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: MLflow was not told of it (no answer from http://host")
    assert "secret" not in line
    assert (tmp_path / "baseline-svm-demo" / "baseline.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["baseline"], "the following arguments are required: KIND"),
        (["baseline", "svn"], "unknown baseline 'svn': did you mean 'svm'?"),
        (["baseline", "svm", "--dataset", "reuter"], "unknown dataset 'reuter': did you mean"),
        (["baseline", "svm", "--data", "no-such"], "--data '"),
        (["baseline", "svm", "--dta", "x"], "unknown option '--dta': did you mean '--data'?"),
        (["baseline", "svm", *DEMO, "--tracking-uri", "ftp://x"], "tracking URI must start with"),
        (["baseline", "svm", *DEMO, "--runs-dir", "{file}"], "is not a folder"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, words, says, capsys):
    (tmp_path / "file").write_text("")
    words = [word.replace("{file}", str(tmp_path / "file")) for word in words]
    if "--runs-dir" not in words and len(words) > 1:
        words += ["--runs-dir", str(tmp_path)]
    assert main(words) == 2
    [line] = capsys.readouterr().err.splitlines()[-1:]
    assert says in line
