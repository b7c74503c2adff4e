"""What is trained for a table, in which order; a stopped run goes on; a tiny head is trained."""

import contextlib

import numpy as np
import pytest

from benchmarks import tabulate as module
from benchmarks.curve_table import read_table
from benchmarks.tabulate import CurveTrainer, draw_params, main, planned
from spaces import space_for
from tests.trainable.test_head import featured
from trainable.config import LOSS_HYPERPARAMETERS, TrialConfig

TINY = {"max_length": 32, "tune": "head", "head_hidden": 8, "batch_size": 16, "epochs": 3}


class InThisProcess(contextlib.AbstractContextManager):
    """`Processes` without processes."""

    def __init__(self, build, arguments, environment):
        assert environment["OMP_NUM_THREADS"] == "1"
        self.workers = [build(*some) for some in arguments]

    def __exit__(self, *_):
        pass

    def call(self, method):
        return [getattr(worker, method)() for worker in self.workers]


def test_the_most_needed_come_first():
    order = list(planned(tuple(LOSS_HYPERPARAMETERS), 100, 7))
    assert order[:60] == [("db", number) for number in range(60)]
    assert len(order) == len(set(order)) == 100 + 7 * 7
    assert order[60:67] == [(loss, 0) for loss in LOSS_HYPERPARAMETERS if loss != "db"]
    assert order[-40:] == [("db", number) for number in range(60, 100)]


@pytest.mark.parametrize("loss", LOSS_HYPERPARAMETERS)
def test_draws_are_of_the_space_and_number_0_is_the_paper(loss):
    space = space_for(loss, mu=0.5, tune="head")
    assert draw_params(space, 0, 0) == space.paper_point()
    drawn = [draw_params(space, 0, number) for number in range(1, 60)]
    for params in drawn:
        assert all(d.contains(params[d.name]) for d in space.dimensions)
    rates = np.log10([params["learning_rate"] for params in drawn])
    assert rates.min() < -3.7
    assert rates.max() > -2.3
    assert np.median(rates) == pytest.approx(-3.0, abs=0.3)  # uniform in the logarithm
    assert draw_params(space, 0, 5) == drawn[4] != draw_params(space, 1, 5)


def test_a_trainer_gives_curves_of_its_configurations():
    config = TrialConfig(dataset="tiny", learning_rate=1e-2, loss="bce", **TINY)
    broken = config.replace(learning_rate=1.0, epochs=30, loss="fl", gamma=20.0)
    trainer = CurveTrainer(featured(), [(4, {"learning_rate": 1e-2}, config), (5, {}, broken)])
    curve = trainer.next_curve()
    assert (curve.loss, curve.number, curve.ended) == ("bce", 4, "completed")
    assert curve.params == {"learning_rate": 1e-2}
    assert {len(row) for row in curve.metrics.values()} == {len(curve.epoch_s)} == {3}
    assert all(0 <= score <= 1 for row in curve.metrics.values() for score in row)
    assert all(seconds > 0 for seconds in curve.epoch_s)
    assert trainer.next_curve().number == 5
    assert trainer.next_curve() is None


def test_divergence_ends_a_curve(monkeypatch):
    from trainable.divergence import DivergedError
    from trainable.loop import TrainingSession

    whole = TrainingSession.run_epoch

    def run_epoch(self):
        if self.epoch == 2:
            raise DivergedError(3, "loss")
        return whole(self)

    monkeypatch.setattr(TrainingSession, "run_epoch", run_epoch)
    config = TrialConfig(dataset="tiny", loss="bce", **TINY)
    curve = CurveTrainer(featured(), [(1, {}, config)]).next_curve()
    assert (curve.ended, len(curve.scores), len(curve.epoch_s)) == ("diverged", 2, 2)


def test_a_stopped_run_goes_on_where_it_was(monkeypatch, tmp_path, capsys):
    data = featured()
    monkeypatch.setattr(module, "Processes", InThisProcess)
    monkeypatch.setattr(module, "_data", lambda _: (data, 0.5))
    plain = module._spec

    def tiny_spec(*given):
        spec = plain(*given)
        return spec.replace(config=spec.config.replace(**TINY))

    monkeypatch.setattr(module, "_spec", tiny_spec)
    path = tmp_path / "table.jsonl"
    options = ["--data", str(tmp_path), "--out", str(path), "--others", "1"]
    assert main([*options, "--count", "2"]) == 0
    first = read_table(path)
    assert len(first.curves) == 2 + 7
    assert first.head["mu"] == 0.5
    assert first.losses[0] == "db"
    assert main([*options, "--count", "3"]) == 0
    second = read_table(path)
    assert second.curves[:9] == first.curves
    assert [curve.number for curve in second.of("db")] == [0, 1, 2]
    assert "of loss db" in capsys.readouterr().out


def test_synthetic_documents_are_refused(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "table.jsonl")]) == 2
    assert "give Reuters with --data PATH" in capsys.readouterr().err
    assert not (tmp_path / "table.jsonl").exists()
