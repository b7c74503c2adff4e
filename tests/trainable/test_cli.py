"""`python -m trainable`: which command is meant, and how each ends."""

import subprocess
import sys

import pytest

from trainable import predict_command, retrain_command
from trainable.cli import main
from trainable.errors import UsageError, UserError


def test_the_first_word_decides(monkeypatch):
    ran = []
    for module in (predict_command, retrain_command):
        monkeypatch.setattr(module, "run", lambda o, m=module: ran.append((m, vars(o))) or 7)
    assert main(["predict", "M", "--text", "a"]) == 7
    assert main(["best.yaml", "--out", "M"]) == 7
    assert main(["./predict", "--out", "M"]) == 7
    assert [module for module, _ in ran] == [predict_command, retrain_command, retrain_command]
    assert ran[0][1]["model"] == "M"
    assert str(ran[2][1]["best"]) == "predict"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("a\n b"), 2, "error: a b"),
        (UserError("c"), 1, "error: c"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_end_is_one_line(monkeypatch, capsys, error, code, line):
    def fail(_options):
        raise error

    monkeypatch.setattr(predict_command, "run", fail)
    assert main(["predict", "M", "--text", "a"]) == code
    assert capsys.readouterr() == ("", f"{line}\n")


def test_a_reader_that_has_seen_enough_is_no_error():
    code = """
import sys
from trainable import cli, predict_command
predict_command.run = lambda options: print("x\\n" * 10**6)
sys.exit(cli.main(["predict", "M", "--text", "a"]))
"""
    done = subprocess.run(
        f"{sys.executable} -c '{code}' | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("x\n", "")
