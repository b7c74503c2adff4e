"""The real command on a tiny BERT: two searches and the SVM, then the same command again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.journal import read_journal
from tests.tiny import tiny_encoder

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[3]
LOSSES = ("bce", "db")
TOO_FEW = "warning: 2 trials are too few for ASHA to choose among with --reduction-factor 2"


def test_two_losses_and_the_svm_and_nothing_twice(tmp_path):
    tiny_encoder(tmp_path / "bert")
    argv = [sys.executable, "-m", "search", "compare", "--losses", ",".join(LOSSES)]
    argv += ["--dataset", "demo", "--encoder", str(tmp_path / "bert"), "--preset", "smoke"]
    argv += ["--trials", "2", "--set", "max_length=32", "--name", "cmp", "--out", "copy.md"]
    env = {**os.environ, "LONGTAIL_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    runs = tmp_path / "runs"

    def compare():
        done = subprocess.run(
            argv, env=env, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert set(done.stderr.splitlines()) <= {TOO_FEW}
        return done.stdout, json.loads((runs / "compare-cmp" / "comparison.json").read_text())

    out, first = compare()
    assert "comparison: search 1 of 2, loss bce, then db" in out
    assert [(row["loss"], row["trials"], row["status"]) for row in first["rows"]] == [
        (loss, 2, "completed") for loss in LOSSES
    ]
    for row in first["rows"]:
        report = json.loads((runs / row["search"] / "test_report.json").read_text())
        assert row["test"]["total"]["micro_f1"] == report["micro_f1"]
        assert row["paper_values"] is not None
    report = json.loads((runs / first["svm"]["folder"] / "test_report.json").read_text())
    assert first["svm"]["test"]["total"]["macro_f1"] == report["macro_f1"]
    assert [(p["first"], p["second"]) for p in first["pairs"]] == [LOSSES]
    assert [p["first"] for p in first["against_svm"]] == list(LOSSES)
    assert (tmp_path / "copy.md").read_text().startswith("# Comparison cmp")

    again, second = compare()
    assert again.count("is done") == 2
    assert second == first
    for loss in LOSSES:
        events = read_journal(runs / f"cmp-{loss}" / "journal.jsonl")
        assert [event["event"] for event in events].count("search_started") == 1
