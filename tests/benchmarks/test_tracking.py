"""The folder that trackers are measured on, and what becomes of the figures."""

from pathlib import Path

import pytest

from benchmarks import tracking, tracking_stores
from benchmarks.report import Report
from benchmarks.tracked_search import METRICS, metrics, write_folder
from search.results import load_search
from trainable.errors import UserError


def test_the_folder_is_that_of_a_search(tmp_path):
    write_folder(tmp_path / "s", trials=11, epochs=3)
    record = load_search(tmp_path / "s")
    assert record.status == "completed"
    assert [trial.status for trial in record.trials] == ["completed"] * 11
    assert {len(trial.epochs) for trial in record.trials} == {3}
    assert len(metrics(0, 1)) == METRICS


def test_each_epoch_is_the_best_of_its_trial():
    scores = [metrics(5, epoch)["best/objective"] for epoch in range(1, 31)]
    assert scores == sorted(scores)
    assert len(set(scores)) == 30


RATE = {"runs_per_s": 9.0, "metrics_per_s": 3_000.0}
RAY = {"runs_per_s": 0.4, "metrics_per_s": 150.0}
LIVE = {"written_s": 10.0, "seconds": 12.0, "sender_cpu_s": 5.0, "complete": True}


@pytest.fixture
def answers(monkeypatch):
    """What the measuring processes say."""
    said = {
        "prepare": None,
        "replay": RATE,
        "ray_callback": RAY,
        "listing": {"top_1_s": 0.1, "top_100_s": 0.6},
        True: {**LIVE, "driver_cpu_s": 1.1},
        False: {**LIVE, "driver_cpu_s": 1.0},
    }

    def call(method, *arguments):
        return said[arguments[-1] if method == "live" else method]

    monkeypatch.setattr(tracking, "_call", call)
    monkeypatch.setattr(tracking, "served", lambda *_: _Nothing())
    monkeypatch.setattr(
        tracking, "run", lambda parser, measure, argv: measure(parser.parse_args(argv))
    )
    return said


class _Nothing:
    def __enter__(self):
        return "http://nowhere"

    def __exit__(self, *_):
        pass


def goals(report: Report):
    return [row.goal.rpartition(", ")[2] for row in report.rows if row.goal]


@pytest.mark.usefixtures("answers")
def test_goals_that_are_met():
    report = tracking.main(["--stores", "sqlite", "server"])
    assert goals(report) == ["met"] * 6
    assert report.figures["stores"]["server"]["times"] == 20.0
    assert report.figures["driver"]["share"] == pytest.approx(0.01)


def test_goals_that_are_missed(answers):
    answers["ray_callback"] = {**RAY, "metrics_per_s": 301.0}
    answers["listing"] = {"top_1_s": 0.1, "top_100_s": 1.2}
    answers[True] = {**LIVE, "driver_cpu_s": 1.3, "complete": False}
    assert goals(tracking.main(["--stores", "sqlite"])) == ["MISSED"] * 5


def test_without_postgresql(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking_stores, "Path", lambda _: Path(tmp_path))
    with (
        pytest.raises(UserError, match=r"no PostgreSQL in /usr/lib/postgresql: install it, or"),
        tracking_stores.postgresql(tmp_path),
    ):
        pass
