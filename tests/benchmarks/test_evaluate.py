"""Validation beside training, scaled by the numbers of documents."""

import dataclasses
import time

import numpy as np
import pytest

from benchmarks.engine import EngineLoop
from benchmarks.evaluate import measure
from trainable.config import TrialConfig
from trainable.loop import TrainingSession


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_shares_add_up(corpus):
    config = TrialConfig(encoder=corpus.encoder, max_length=64, batch_size=8, mu=0.5)
    report = measure(corpus, config, train_docs=16, val_docs=8, rounds=2)
    found = report.figures
    assert (found["train_sample_docs"], found["val_sample_docs"]) == (16, 8)
    assert found["epoch_s"] == pytest.approx(120 / found["train_docs_per_s"])
    assert found["validation_s"] == pytest.approx(1000 / found["validation_docs_per_s"])
    assert found["share_of_epoch"] == pytest.approx(found["validation_s"] / found["epoch_s"])
    assert found["metrics_18211_labels_s"] > 0
    assert len(found["rounds"]) == 2


def test_validation_is_the_sessions_own(corpus, monkeypatch):
    data = dataclasses.replace(corpus.data, val=corpus.data.val.take(np.arange(5)))
    config = TrialConfig(encoder=corpus.encoder, max_length=64, batch_size=8, mu=0.5)
    engine = EngineLoop(config, data)
    seen = []
    evaluate = TrainingSession.evaluate

    def note(session, split):
        seen.append((session, split))
        time.sleep(0.3)
        return evaluate(session, split)

    monkeypatch.setattr(TrainingSession, "evaluate", note)
    docs, seconds = engine.validate()
    assert (docs, seen) == (5, [(engine.session, "val")])
    assert seconds >= 0.3
    assert engine.metrics(7, 11) > 0
