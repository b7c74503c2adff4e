import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from trainable.config import TrialConfig
from trainable.errors import UsageError
from trainable.objectives import objective_curve, objective_words, scores_of
from trainable.thresholds import THRESHOLDS_K, ThresholdCounts, best_threshold

GROUPS = ("head", "head", "medium", "tail", "tail")


def made(seed, num_docs=40):
    rng = np.random.default_rng(seed)
    probs_NL = rng.random((num_docs, len(GROUPS)), dtype=np.float32)
    targets_NL = rng.random(probs_NL.shape) < probs_NL * 0.6
    counts = ThresholdCounts(len(GROUPS))
    counts.update(torch.from_numpy(probs_NL), torch.from_numpy(targets_NL))
    return probs_NL, targets_NL, counts.counts()


def by_sklearn(name, targets_NL, preds_NL):
    if name == "tail_micro_f1":
        targets_NL, preds_NL = targets_NL[:, 3:], preds_NL[:, 3:]
    average = "macro" if name == "macro_f1" else "micro"
    return f1_score(targets_NL, preds_NL, average=average, zero_division=0)


@pytest.mark.parametrize(
    "objective",
    ["micro_f1", "macro_f1", "tail_micro_f1", "micro_f1+macro_f1", "mean"],
)
@given(seed=st.integers(0, 2**32 - 1))
def test_it_is_scikit_learns_score_at_every_threshold(objective, seed):
    probs_NL, targets_NL, counts = made(seed)
    curve_K = objective_curve(objective, counts, GROUPS)
    for k in (0, 30, 49, 75, 98):
        preds_NL = probs_NL >= np.float32(THRESHOLDS_K[k])
        expected = np.mean([by_sklearn(n, targets_NL, preds_NL) for n in scores_of(objective)])
        assert curve_K[k].item() == pytest.approx(expected, abs=1e-12)


def test_the_threshold_is_the_objectives_own():
    _, _, counts = made(3)
    chosen = {
        name: best_threshold(objective_curve(name, counts, GROUPS))
        for name in ("micro_f1", "tail_micro_f1")
    }
    for name, index in chosen.items():
        curve_K = objective_curve(name, counts, GROUPS)
        assert curve_K[index] == curve_K.max()
    assert chosen["micro_f1"] != chosen["tail_micro_f1"]


def test_without_tail_labels_the_tails_score_is_zero():
    _, _, counts = made(0)
    assert objective_curve("tail_micro_f1", counts, ("head",) * 5).max() == 0.0


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("mikro_f1", "unknown objective 'mikro_f1': did you mean 'micro_f1'?"),
        ("micro_f1+micro_f1", "objective 'micro_f1+micro_f1' names a score twice: name each once"),
        ("", "unknown objective ''"),
    ],
)
def test_what_is_no_objective(objective, message):
    with pytest.raises(UsageError) as caught:
        TrialConfig(loss="bce", objective=objective)
    assert message in str(caught.value)


def test_in_words():
    assert objective_words("tail_micro_f1") == "tail micro-F1"
    assert objective_words("mean") == "mean of micro-F1, macro-F1 and tail micro-F1"
