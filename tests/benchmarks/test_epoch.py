"""All three loops on a tiny encoder: the figures are there and agree with each other."""

import dataclasses

import pytest
import torch

from benchmarks import epoch
from benchmarks.engine import LastStep, StepClock
from benchmarks.epoch import Plan, choose_plan, measure
from trainable.config import TrialConfig
from trainable.loop import TrainingSession

FIGURES = (
    *("notebook_docs_per_s", "notebook_side_by_side_docs_per_s"),
    *("hf_alone_docs_per_s", "hf_side_by_side_docs_per_s", "engine_docs_per_s"),
)


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
        notebook_rounds=1,
        hf_rounds=2,
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
        "notebook": 1,
        "notebook_side_by_side": 1,
        "hf_alone": 2,
        "hf_side_by_side": 2,
        "engine": 3,
    }
    assert found["hf_docs_per_s"] == max(found[name] for name in FIGURES[2:4])
    assert found["hf_docs_per_s"] == found[f"{found['hf_docs_per_s_is']}_docs_per_s"]
    ratio = found["engine_docs_per_s"] / found["notebook_docs_per_s"]
    assert found["engine_over_notebook"] == pytest.approx(ratio)
    for name, at_once in (("engine", 2), ("notebook", 1), ("notebook_side_by_side", 2)):
        epoch_s = len(corpus.data.train) * at_once / found[f"{name}_docs_per_s"]
        assert found[f"{name}_epoch_s"] == pytest.approx(epoch_s)
    assert 0 < found["engine_share_of_peak"] < 1
    lengths = corpus.data.train.lengths
    assert found["documents"]["train_mean_length"] == lengths.mean()
    assert found["documents"]["sample_mean_length"] == pytest.approx(lengths.mean(), rel=0.1)
    assert len(corpus.data.train.take(corpus.sample("train", 16))) == 16
    goals = {row.what: row.goal for row in report.rows if row.what.startswith("engine / notebook")}
    assert goals["engine / notebook"].startswith("goal: at least 20, ")
    assert goals["engine / notebook side by side"] == ""


@pytest.mark.parametrize("kind", ["notebook", "hf"])
def test_alone_a_loop_runs_as_it_stands_and_side_by_side_on_one_thread(corpus, kind, monkeypatch):
    seen = []

    def note(jobs, count, _, environment):
        seen.append((jobs, count, environment["OMP_NUM_THREADS"]))
        return [1.0]

    monkeypatch.setattr(epoch, "time_rounds", note)
    monkeypatch.setattr(epoch, "pick_device", lambda: torch.device("cpu"))
    plan = choose_plan(8, 5)
    plan = dataclasses.replace(plan, processes=3, max_length=64)
    jobs = epoch._jobs(corpus, corpus.sample("train", 8), plan)
    assert len(epoch._reference_rounds(jobs, plan, 4)) == 4
    (alone, alone_count, alone_threads), (beside, beside_count, beside_threads) = (
        call for call in seen if call[0][0].kind == kind
    )
    assert ([job.parts for job in alone], alone_threads) == ([1], None)
    assert ([job.parts for job in beside], beside_threads) == ([4, 4, 4], "1")
    assert alone[0].batch_size == 32
    assert alone_count == beside_count == (1 if kind == "notebook" else 2)
