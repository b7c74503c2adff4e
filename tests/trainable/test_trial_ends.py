"""Trials that diverge or fail: honest ends, and a clean actor afterwards."""

import math

import pytest
import torch

from tests.local_trial import ended, numbers, poison, straight
from trainable.config import BEST_OBJECTIVE, OBJECTIVE
from trainable.forward import Forward


def test_divergence_at_once(trial_of):
    trial = trial_of()
    poison(trial)
    result = ended(trial.train(), "diverged")
    assert result["end_reason"] == "the loss is not finite at step 0"
    assert (result["epoch"], result[BEST_OBJECTIVE], result["best/epoch"]) == (1, 0.0, 0)


def test_divergence_later_keeps_the_best_so_far(trial_of):
    trial = trial_of()
    before = trial.train()
    poison(trial)
    result = ended(trial.train(), "diverged")
    assert result["end_reason"] == "the loss is not finite at step 2"
    assert (result["epoch"], result["best/epoch"]) == (2, 1)
    assert result[BEST_OBJECTIVE] == before[BEST_OBJECTIVE]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_objective_that_is_not_finite_ends_the_trial(trial_of, monkeypatch, value):
    trial = trial_of()
    before = trial.train()
    validation = {OBJECTIVE: value, "val/threshold": 0.5}
    monkeypatch.setattr(trial._session, "evaluate", lambda _split: validation)
    result = ended(trial.train(), "diverged")
    assert result["end_reason"] == "the objective is not finite at step 4"
    assert (result["epoch"], result[BEST_OBJECTIVE]) == (2, before[BEST_OBJECTIVE])


def test_logits_of_the_validation_that_are_not_finite_end_the_trial(trial_of, monkeypatch):
    trial = trial_of()
    real = trial._session._forward.inference
    monkeypatch.setattr(Forward, "inference", lambda _, *args: real(*args) * math.inf)
    result = ended(trial.train(), "diverged")
    assert result["end_reason"] == "a logit of the val split is not finite at step 0"


def test_a_learning_rate_of_1_ends_honestly(trial_of):
    trial = trial_of(learning_rate=1.0, epochs=4, precision="fp32", loss="bce")
    while not (result := trial.train())["done"]:
        pass
    assert result["end_status"] in {"", "diverged"}
    assert 0.0 <= result[BEST_OBJECTIVE] <= 1.0


def test_the_next_trial_of_a_diverged_actor_is_clean(trial_of, ray_config):
    trial = trial_of()
    with torch.no_grad():
        for parameter in trial._session.model.parameters():
            parameter.fill_(math.nan)
    ended(trial.train(), "diverged")
    trial.reset(ray_config())
    assert [numbers(trial.train()) for _ in range(2)] == straight(ray_config)


def test_any_other_error_is_not_hidden(trial_of, monkeypatch):
    trial = trial_of()

    def fail(*_args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(trial._session, "_loss", fail)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        trial.train()
