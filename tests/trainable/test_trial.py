"""The Ray side of a trial: steps, reuse, weights, warnings; once under a real Tuner."""

import logging
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.local_trial import DATA, clone, numbers, poison, same, straight
from tests.tiny import tiny_encoder
from trainable.config import BEST_OBJECTIVE, TrialConfig
from trainable.loop import TrainingSession
from trainable.trial import FineTuneTrial
from trainable.weights import kept_epoch, weights_path


def test_steps_are_the_epochs_of_a_session(trial_of, ray_config):
    trial = trial_of()
    results = [trial.train(), trial.train()]
    assert [numbers(result) for result in results] == straight(ray_config)
    assert [result["done"] for result in results] == [False, True]
    assert {(result["end_status"], result["end_reason"]) for result in results} == {("", "")}
    assert not any(isinstance(value, torch.Tensor) for value in results[0].values())
    for result in results:  # what an epoch took
        assert 0 < result["system/cpu_percent"] <= 100 * os.cpu_count() + 50
        assert 50 < result["system/memory_mib"] < 100_000
        assert ("system/gpu_memory_mib" in result) == torch.cuda.is_available()


def test_a_reused_actor_gives_the_numbers_of_a_fresh_one(trial_of, ray_config):
    trial = trial_of(seed=5, loss="cb", learning_rate=1e-2, dropout=0.3, num_threads=2)
    trial.train()
    model = trial._session.model
    assert trial.reset(ray_config(loss="fl"))
    assert trial._session.model is model
    assert [numbers(trial.train()) for _ in range(2)] == straight(ray_config, loss="fl")


def test_another_encoder_in_a_reused_actor(trial_of, ray_config, tmp_path):
    other = str(tiny_encoder(tmp_path / "other", layers=1, seed=3))
    trial = trial_of()
    trial.reset(ray_config(encoder=other))
    assert [numbers(trial.train()) for _ in range(2)] == straight(ray_config, encoder=other)


def test_the_weights_of_the_best_epoch_are_kept(trial_of, ray_config, tmp_path):
    """In memory while the trial runs; on disk when the actor goes on to the next, or ends."""
    folder = tmp_path / "weights"
    trial = trial_of(number=4, weights_dir=str(folder), epochs=3)
    states = {}
    for _ in range(2):  # ASHA stops it after the second
        result = trial.train()
        states[result["epoch"]] = clone(trial)
        assert not folder.exists() or not list(folder.iterdir())
    assert trial.reset(ray_config(number=5, weights_dir=str(folder)))
    trial._best_weights.flush()
    assert kept_epoch(weights_path(folder, 4)).epoch == result["best/epoch"]
    assert same(load_file(weights_path(folder, 4)), states[result["best/epoch"]])


def test_an_epoch_that_tune_never_noted_does_not_take_the_place_of_one_that_it_did(
    trial_of, tmp_path, monkeypatch
):
    """The time budget is spent while the second epoch, a better one, is trained."""
    trial = trial_of(weights_dir=str(tmp_path / "weights"), epochs=5)
    scores = iter([0.5, 0.6])
    monkeypatch.setattr(
        trial._session,
        "evaluate",
        lambda _split: {"val/objective": next(scores), "val/threshold": 0.5},
    )
    trial.train()
    state = clone(trial)
    trial.train()
    trial.stop()
    path = weights_path(tmp_path / "weights", 0)
    assert kept_epoch(path).epoch == 1
    assert same(load_file(path), state)


def test_weights_are_written_as_soon_as_the_trial_is_over(trial_of, tmp_path):
    trial = trial_of(weights_dir=str(tmp_path / "weights"), epochs=1)
    trial.train()
    trial.trial_over()
    trial._best_weights._timer.join(20)  # it has begun, and nobody waits for it
    path = weights_path(tmp_path / "weights", 0)
    written = path.stat().st_mtime_ns
    trial.trial_over()
    trial.stop()
    assert path.stat().st_mtime_ns == written


def test_what_a_worker_warns_of_reaches_the_driver_once(trial_of, ray_config):
    """In the note of the next result: the log of a Ray worker is shown to nobody."""
    warn = logging.getLogger("trainable.forward").warning
    trial = trial_of(epochs=4)
    warn("documents are padded, which is slower: %s", "no flash\nattention")
    warn("something else")
    logging.getLogger("trainable").info("not worth a note")
    logging.getLogger("somebody.else").warning("not ours")
    told = "warns: documents are padded, which is slower: no flash attention; warns: something else"
    assert trial.train()["note"] == told
    assert trial.train()["note"] == ""
    trial.reset(ray_config(epochs=4))
    warn("something else")  # once in an actor
    assert trial.train()["note"] == ""
    warn("at the very end")
    poison(trial)
    assert trial.train()["note"] == "warns: at the very end"


def test_an_actor_that_has_ended_listens_no_more(trial_of):
    before = list(logging.getLogger("trainable").handlers)
    trial = trial_of()
    assert len(logging.getLogger("trainable").handlers) == len(before) + 1
    trial.stop()
    assert logging.getLogger("trainable").handlers == before


def test_weights_that_cannot_be_written_are_told(trial_of, ray_config, tmp_path):
    (tmp_path / "weights").touch()  # no folder
    trial = trial_of(weights_dir=str(tmp_path / "weights"), epochs=1)
    assert trial.train()["note"] == ""
    trial.trial_over()
    trial._best_weights.flush()
    trial.reset(ray_config())
    assert trial.train()["note"].startswith("warns: cannot keep the weights of trial 0: ")


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_under_a_real_tuner_with_reused_actors(ray_config, tmp_path, monkeypatch):
    import ray
    from ray import tune

    for name, value in {
        "RAY_AUTH_MODE": "disabled",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }.items():
        monkeypatch.setenv(name, value)
    weights_dir = str(tmp_path / "weights")
    configs = [
        ray_config(number=n, weights_dir=weights_dir, loss=loss, seed=n)
        for n, loss in enumerate(["db", "bce"])
    ]
    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path.cwd())}},
    )
    try:
        trainable = tune.with_resources(tune.with_parameters(FineTuneTrial, data=DATA), {"cpu": 1})
        results = tune.Tuner(
            trainable,
            param_space=tune.grid_search(configs),
            tune_config=tune.TuneConfig(
                metric=BEST_OBJECTIVE, mode="max", reuse_actors=True, max_concurrent_trials=1
            ),
            run_config=tune.RunConfig(
                storage_path=str(tmp_path / "tune"),
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    finally:
        ray.shutdown()
    assert not results.errors
    by_number = {result.config["number"]: result.metrics for result in results}
    for config in configs:
        session = TrainingSession(TrialConfig(**config["config"]), DATA)
        expected = [numbers(session.run_epoch()) for _ in range(2)][-1]
        assert numbers(by_number[config["number"]]) == expected
        assert by_number[config["number"]]["done"] is True
    assert len({metrics["pid"] for metrics in by_number.values()}) == 1
    assert list((tmp_path / "weights").glob("*.safetensors"))
