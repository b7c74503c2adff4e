"""The table that is committed, the comparison's figures, and what is printed of them."""

import json
import math

import pytest

from benchmarks import search_quality as module
from benchmarks.curve_table import append_curve, read_table, start_table
from benchmarks.search_quality import TABLE, Quartiles, main, summary
from benchmarks.simulated_clock import Spent
from tests.benchmarks.test_curve_replay import EPOCHS, invented
from trainable.config import LOSS_HYPERPARAMETERS


def spent(epochs, *, reached=True):
    return Spent(epochs=epochs, seconds=epochs / 2, trials=3, reached=reached)


def test_the_committed_table_is_what_the_replay_needs():
    table = read_table(TABLE)
    assert len(table.of("db")) >= 60
    assert set(table.losses) == set(LOSS_HYPERPARAMETERS)
    assert table.head["dataset"] == "reuters"
    for curve in table.curves:
        assert len(curve.scores) == table.epochs or curve.ended == "diverged"
        assert all(0 <= score <= 1 for score in curve.scores)
        assert set(curve.params) == {"learning_rate", *LOSS_HYPERPARAMETERS[curve.loss]}
    assert len({(curve.loss, curve.number) for curve in table.curves}) == len(table.curves)


def test_quartiles():
    assert Quartiles.of([3.0]) == Quartiles(low=3.0, median=3.0, high=3.0)
    assert Quartiles.of([5, 1, 4, 2, 3]) == Quartiles(low=2, median=3, high=4)
    half = Quartiles.of([1.0, math.inf, 2.0, 3.0])
    assert (half.low, half.median, half.high) == (1.0, 2.5, math.inf)


def test_a_seed_that_never_got_there_counts_as_infinite():
    figures = summary([spent(10), spent(20, reached=False), spent(30)])
    assert figures["reached"] == 2
    assert figures["epochs"] == {"low": 10, "median": 30, "high": math.inf}
    assert figures["epochs_of_each"] == [10, 20, 30]
    assert figures["reached_by_each"] == [True, False, True]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.jsonl"
    start_table(path, {"epochs": EPOCHS, "mu": 0.9, "tune": "head"})
    for number in range(1, 25):
        append_curve(path, invented(number))
    return path


def test_a_replay_of_an_invented_table(table, capsys):
    assert main(["--table", str(table), "--seeds", "3", "--grace", "1", "--json"]) == 0
    printed = capsys.readouterr().out
    figures = json.loads(printed.splitlines()[-1])
    assert figures["benchmark"] == "search_quality"
    assert (figures["curves"], figures["rungs"]) == (24, [1, 3])
    for name in ("random", "stock", "this"):
        assert figures["strategies"][name]["reached"] == (150 if name == "random" else 3)
    # these curves never cross: early scores say all
    assert {score["winner_rank"] for score in figures["early_scores"]["db"]} == {1}
    assert {round(score["spearman"], 3) for score in figures["early_scores"]["db"]} == {1.0}
    assert "epochs, this / random" in printed
    assert "goal: at most 0.20" in printed


def test_goals_are_judged(monkeypatch, table, capsys):
    def taking(epochs):
        return lambda *_: spent(epochs)

    for ours, verdicts in ((20, ("met", "met")), (21, ("MISSED", "MISSED"))):
        epochs = {"random": 100, "stock": 20, "this": ours}
        strategies = {name: taking(count) for name, count in epochs.items()}
        monkeypatch.setattr(module, "STRATEGIES", strategies)
        assert main(["--table", str(table), "--seeds", "2"]) == 0
        rows = [line for line in capsys.readouterr().out.splitlines() if "goal:" in line]
        assert tuple(row.rsplit(", ", 1)[1] for row in rows) == verdicts


def test_a_table_without_the_loss_is_refused(tmp_path, capsys):
    path = tmp_path / "table.jsonl"
    start_table(path, {"epochs": EPOCHS, "mu": 0.9, "tune": "head"})
    assert main(["--table", str(path)]) == 2
    assert "the table has no curves of loss db" in capsys.readouterr().err
