"""Nothing leaks from one trial into the next: trial B after a trial A in the same actor gives, to
the last bit, what it gives in an actor of its own."""

import dataclasses
import itertools
import math
import random
import threading

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tiny import tiny_encoded, tiny_encoder
from trainable.config import TrialConfig
from trainable.trial import FineTuneTrial


def with_features(data):
    """Documents with made-up features, for heads."""
    features = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    splits = {
        name: dataclasses.replace(data.split(name), features=features[: len(data.split(name))])
        for name in ("train", "val", "test")
    }
    return dataclasses.replace(data, **splits)


DATA = with_features(tiny_encoded())


class LocalTrial(FineTuneTrial):
    """As Tune makes it with `with_parameters`, without Ray."""

    def setup(self, config):
        super().setup(config, DATA)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def config_of(encoder):
    def build(**changes):
        values = {
            "dataset": "tiny",
            "encoder": encoder,
            "max_length": 32,
            "batch_size": 16,
            "epochs": 2,
            "learning_rate": 3e-3,
            "num_threads": 1,
        }
        config = TrialConfig(**{**values, **changes})
        return {"number": 0, "weights_dir": None, "config": config.to_mapping()}

    return build


@pytest.fixture(autouse=True)
def _stay_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # Ray moves the working directory; monkeypatch moves it back


def outcome(trial):
    """All numbers and all weights of the rest of a trial."""
    results = []
    while not results or not results[-1]["done"]:
        results.append(trial.train())
    own = [{k: v for k, v in r.items() if "/" in k or k.startswith("end")} for r in results]
    for result in own:
        for key in [key for key in result if key.startswith(("time/", "system/"))]:
            result.pop(key)
    weights = {name: value.clone() for name, value in trial._session.model.state_dict().items()}
    return own, weights


def check_same(left, right):
    assert left[0] == right[0]
    assert left[1].keys() == right[1].keys()
    different = [name for name in left[1] if not torch.equal(left[1][name], right[1][name])]
    assert different == []


@pytest.fixture(scope="module")
def alone(config_of):
    """What trial B gives in an actor of its own."""
    trial = LocalTrial(config=config_of())
    return outcome(trial)


def completes(trial):
    outcome(trial)


def is_stopped(trial):
    trial.train()


def breaks(error):
    """Breaks off in the third step of an epoch: gradients and moments are there. Twice."""

    def run(trial):
        break_off(trial)
        assert trial.train()["end_status"] == ""  # goes on with half the micro-batch
        break_off(trial)
        assert trial.train()["end_status"] == "out_of_memory"

    def break_off(trial):
        real, calls = trial._session._step._loss, itertools.count()

        def fail(*args):
            if next(calls) == 2:
                raise error
            return real(*args)

        trial._session._step._loss = fail

    return run


def diverges(trial):
    real, calls = trial._session._step._loss, itertools.count()
    trial._session._step._loss = lambda *args: real(*args) * (math.nan if next(calls) > 1 else 1)
    assert trial.train()["end_status"] == "diverged"


@pytest.mark.parametrize(
    ("settings_of_a", "run"),
    [
        ({"loss": "cb"}, completes),
        ({"loss": "bce", "loss_formula": "paper"}, completes),
        ({"dropout": 0.5, "attention_dropout": 0.4}, completes),
        ({"dropout": 0.0, "attention_dropout": 0.0}, completes),
        ({"max_length": 8}, completes),
        ({"precision": "fp32"}, completes),
        ({"precision": "bf16"}, completes),
        ({"max_grad_norm": 1e-3}, completes),
        ({"lr_schedule": "linear", "warmup_fraction": 0.5, "weight_decay": 0.5}, completes),
        ({"batch_size": 7, "seed": 3}, completes),
        ({"num_threads": 2}, completes),
        ({"tune": "head"}, completes),
        ({"epochs": 5}, is_stopped),
        ({"learning_rate": 1.0}, completes),
        ({}, diverges),
        ({}, breaks(torch.OutOfMemoryError("CUDA out of memory."))),
        ({}, breaks(MemoryError())),
    ],
)
def test_after_another_trial(config_of, alone, settings_of_a, run):
    trial = LocalTrial(config=config_of(**settings_of_a))
    run(trial)
    assert trial.reset(config_of())
    assert all(parameter.grad is None for parameter in trial._session.model.parameters())
    check_same(outcome(trial), alone)


def test_after_a_trial_that_had_no_memory_to_begin(config_of, alone, monkeypatch):
    def fail(*_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("trainable.model.build_model", fail)
    trial = LocalTrial(config=config_of())
    assert trial.train()["end_status"] == "out_of_memory"
    monkeypatch.undo()
    trial.reset(config_of())
    check_same(outcome(trial), alone)


def test_after_many_trials(config_of, alone):
    trial = LocalTrial(config=config_of(seed=9))
    for seed in range(3):
        is_stopped(trial)
        trial.reset(config_of(seed=seed, loss="fl"))
    diverges(trial)
    trial.reset(config_of())
    check_same(outcome(trial), alone)


def test_a_head_after_other_trials(config_of):
    fresh = outcome(LocalTrial(config=config_of(tune="head")))
    reused = LocalTrial(config=config_of())
    is_stopped(reused)
    for other in ({"tune": "head", "head_hidden": 4, "dropout": 0.5}, {"tune": "head"}):
        reused.reset(config_of(**other))
        last = outcome(reused)
    check_same(last, fresh)


def test_best_weights_of_the_trial_before_are_its_own(config_of, alone, tmp_path):
    """B is not kept (no folder): A's copy in memory must not hold B's weights, nor B's A's."""
    from safetensors.torch import load_file

    from trainable.weights import kept_epoch, weights_path

    weights_dir = str(tmp_path / "weights")
    trial = LocalTrial(config={**config_of(seed=5), "weights_dir": weights_dir})
    states = {}
    for epoch in (1, 2):
        trial.train()
        model = trial._session.model
        states[epoch] = {name: value.clone() for name, value in model.state_dict().items()}
    trial.reset({**config_of(), "number": 1})
    check_same(outcome(trial), alone)
    trial.cleanup()
    path = weights_path(tmp_path / "weights", 0)
    kept = load_file(path)
    assert all(torch.equal(kept[n], v) for n, v in states[kept_epoch(path).epoch].items())
    assert not weights_path(tmp_path / "weights", 1).exists()


any_settings = st.fixed_dictionaries(
    {
        "loss": st.sampled_from(["bce", "fl", "cb", "r-fl", "ntr-fl", "db-0fl", "cb-ntr", "db"]),
        "dropout": st.sampled_from([0.0, 0.1, 0.5]),
        "attention_dropout": st.sampled_from([0.0, 0.1]),
        "max_length": st.sampled_from([3, 9, 32]),
        "precision": st.sampled_from(["fp32", "bf16"]),
        "batch_size": st.sampled_from([5, 16, 64]),
        "max_grad_norm": st.sampled_from([0.0, 0.1]),
        "learning_rate": st.floats(1e-5, 0.5),
        "lr_schedule": st.sampled_from(["constant", "linear"]),
        "weight_decay": st.sampled_from([0.0, 0.3]),
        "seed": st.integers(0, 3),
    }
)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=any_settings, settings_of_b=any_settings, epochs=st.integers(0, 2))
def test_any_trial_after_any_other(config_of, before, settings_of_b, epochs):
    reused = LocalTrial(config=config_of(**before))
    for _ in range(epochs):
        if reused.train()["done"]:
            break
    reused.reset(config_of(**settings_of_b))
    fresh = LocalTrial(config=config_of(**settings_of_b))
    check_same(outcome(reused), outcome(fresh))


def global_state():
    numpy_kind, numpy_keys, *numpy_rest = np.random.get_state()
    return {
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "generator": torch.get_rng_state().numpy().tobytes(),
        "numpy": (numpy_kind, numpy_keys.tobytes(), *numpy_rest),
        "random": random.getstate(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "autocast dtype": torch.get_autocast_dtype("cpu"),
        "autocast cache": torch.is_autocast_cache_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "mkldnn": torch.backends.mkldnn.flags and torch._C._get_mkldnn_enabled(),
        "attention": torch.backends.cuda.flash_sdp_enabled(),
        "python threads": {thread.name for thread in threading.enumerate()},
    }


@pytest.mark.parametrize(
    "run", [completes, is_stopped, diverges, breaks(torch.OutOfMemoryError("out of memory"))]
)
def test_a_trial_leaves_the_process_as_it_was(config_of, tmp_path, run):
    # Ray's own monitor thread begins with the first one, torch's pools with its first step
    trial = LocalTrial(config=config_of())
    trial.train()
    before = global_state()
    where = {"weights_dir": str(tmp_path / "weights")}
    trial.reset({**config_of(precision="bf16", num_threads=2, dropout=0.4), **where})
    run(trial)
    trial.reset(config_of())
    trial._best_weights.flush()
    assert global_state() == before
