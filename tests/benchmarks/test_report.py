"""What people and machines read, and the exit codes."""

import argparse
import json

import pytest

from benchmarks import epoch, evaluate, startup
from benchmarks.report import Report, Row, options, positive, run
from trainable.errors import UsageError, UserError

REPORT = Report(
    figures={"docs_per_s": 3.5},
    rows=[Row(what="speed", value="3.5"), Row(what="ratio", value="21", goal="goal: 20, met")],
    notes=["of nothing"],
)


def raising(error):
    def measure(_):
        raise error

    return measure


def test_a_table_for_people(capsys):
    assert run(options("epoch", "..."), lambda _: REPORT, []) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("epoch, 20")
    assert lines[2:] == ["  speed   3.5", "  ratio    21   goal: 20, met", "", "- of nothing"]


def test_the_last_line_is_json(capsys):
    assert run(options("epoch", "..."), lambda _: REPORT, ["--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["benchmark"] == "epoch"
    assert found["docs_per_s"] == 3.5
    assert len(found["date"]) == 10
    assert found["hardware"]["cpus"] >= 1
    assert "torch" in found["versions"]["packages"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("no such\nfile"), 2), (UserError("it failed"), 1), (KeyboardInterrupt(), 130)],
)
def test_failures_are_one_line(capsys, error, code):
    assert run(options("epoch", "..."), raising(error), []) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ["0", "-3", "x", "1.5", ""])
def test_numbers_of_options(text):
    assert positive("12") == 12
    with pytest.raises(argparse.ArgumentTypeError, match="at least 1"):
        positive(text)


@pytest.mark.parametrize("main", [epoch.main, evaluate.main, startup.main])
def test_wrong_data_and_encoders(main, capsys, tmp_path):
    nowhere = str(tmp_path / "nowhere")
    assert main(["--data", nowhere, "--encoder", "minilm"]) == 2
    assert main(["--encoder", nowhere]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == err.count("error: ") == err.count("nowhere") == 2
