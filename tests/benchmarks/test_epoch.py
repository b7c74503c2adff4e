"""All three loops on a tiny encoder: the figures are there and agree with each other."""

import pytest

from benchmarks.documents import take
from benchmarks.engine import LastStep, StepClock
from benchmarks.epoch import Plan, choose_plan, measure
from trainable.config import TrialConfig
from trainable.loop import TrainingSession

FIGURES = ("notebook_docs_per_s", "hf_docs_per_s", "engine_docs_per_s")


def test_plans():
    plan = choose_plan(None, 5)
    assert plan.processes >= 1
    assert choose_plan(7, 2).documents == 7
    assert choose_plan(7, 2).rounds == 2


def test_a_clock_stops_after_the_steps_that_were_asked_for(corpus):
    config = TrialConfig(encoder=corpus.encoder, max_length=64, batch_size=8, epochs=2, mu=0.5)
    session = TrainingSession(config, corpus.data)
    clock = StepClock.on(session, limit=3)
    with pytest.raises(LastStep):
        session.run_epoch()
    assert len(clock.begins) == len(clock.ends) == 3
    assert sorted(clock.begins + clock.ends) == [
        time for pair in zip(clock.begins, clock.ends, strict=True) for time in pair
    ]
    again = StepClock.on(session, limit=100)
    assert not isinstance(again.step, StepClock)
    assert session.run_epoch()["epoch"] == 1
    assert len(again.ends) == -(-len(corpus.data.train) // 8)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_loops(corpus):
    plan = Plan(
        documents=16,
        rounds=3,
        reference_batches=1,
        warm_up_docs=2,
        processes=2,
        max_length=64,
        batch_size=4,
    )
    report = measure(corpus, plan, encoder_label="tiny")
    found = report.figures
    assert all(found[name] > 0 for name in FIGURES)
    rounds = found["rounds_docs_per_s"]
    assert {name: len(some) for name, some in rounds.items()} == {
        "notebook": 2,
        "hf": 2,
        "engine": 3,
    }
    ratio = found["engine_docs_per_s"] / found["notebook_docs_per_s"]
    assert found["engine_over_notebook"] == pytest.approx(ratio)
    epoch_s = len(corpus.data.train) * 2 / found["engine_docs_per_s"]
    assert found["engine_epoch_s"] == pytest.approx(epoch_s)
    assert 0 < found["engine_share_of_peak"] < 1
    lengths = corpus.data.train.lengths
    assert found["documents"]["train_mean_length"] == lengths.mean()
    assert found["documents"]["sample_mean_length"] == pytest.approx(lengths.mean(), rel=0.1)
    assert len(take(corpus.data.train, corpus.sample("train", 16))) == 16
    assert any("engine / notebook" in row.what for row in report.rows)
