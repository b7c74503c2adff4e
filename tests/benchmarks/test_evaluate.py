"""Validation beside training, scaled by the numbers of documents."""

import pytest

from benchmarks.evaluate import measure
from trainable.config import TrialConfig


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_shares_add_up(corpus):
    config = TrialConfig(encoder=corpus.encoder, max_length=64, batch_size=8, mu=0.5)
    report = measure(corpus, config, train_docs=16, val_docs=8, rounds=2)
    found = report.figures
    assert (found["train_sample_docs"], found["val_sample_docs"]) == (16, 8)
    assert found["epoch_s"] == pytest.approx(120 / found["train_docs_per_s"])
    assert found["forward_s"] == pytest.approx(1000 / found["forward_docs_per_s"])
    all_s = found["forward_s"] + found["metrics_s"]
    assert found["share_of_epoch"] == pytest.approx(all_s / found["epoch_s"])
    assert found["metrics_18211_labels_s"] > found["metrics_s"] > 0
