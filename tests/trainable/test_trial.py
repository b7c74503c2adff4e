"""The Ray side of a trial: steps, reuse, honest ends, weights; once under a real Tuner."""

import math
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_encoded, tiny_encoder
from trainable.config import BEST_OBJECTIVE, TrialConfig
from trainable.loop import TrainingSession
from trainable.trial import FineTuneTrial
from trainable.weights import weights_path

DATA = tiny_encoded()


class LocalTrial(FineTuneTrial):
    """As Tune makes it with `with_parameters`, without Ray."""

    def setup(self, config):
        super().setup(config, DATA)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def ray_config(encoder):
    def build(number=0, weights_dir=None, **settings):
        values = {"dataset": "tiny", "encoder": str(encoder), "max_length": 32, "epochs": 2}
        config = TrialConfig(**{**values, "learning_rate": 3e-3, "num_threads": 1, **settings})
        return {"number": number, "config": config.to_mapping(), "weights_dir": weights_dir}

    return build


@pytest.fixture
def trial_of(ray_config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # Ray moves the working directory; monkeypatch moves it back
    trials = []

    def build(**settings):
        trials.append(LocalTrial(config=ray_config(**settings)))
        return trials[-1]

    yield build
    for trial in trials:
        trial.stop()


KEYS = ("epoch", "train/loss", "val/loss", "val/micro_f1", "val/threshold", BEST_OBJECTIVE)


def numbers(result):
    return {key: result[key] for key in KEYS}


def straight(ray_config, **settings):
    session = TrainingSession(TrialConfig(**ray_config(**settings)["config"]), DATA)
    return [numbers(session.run_epoch()) for _ in range(session.config.epochs)]


def test_steps_are_the_epochs_of_a_session(trial_of, ray_config):
    trial = trial_of()
    results = [trial.train(), trial.train()]
    assert [numbers(result) for result in results] == straight(ray_config)
    assert [result["done"] for result in results] == [False, True]
    assert {(result["end_status"], result["end_reason"]) for result in results} == {("", "")}
    assert not any(isinstance(value, torch.Tensor) for value in results[0].values())


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


def test_saved_and_moved_to_another_actor(trial_of, ray_config, tmp_path):
    first, second = trial_of(), trial_of()
    first.train()
    saved = first.save(str(tmp_path / "checkpoint"))
    second.restore(saved)
    assert numbers(second.train()) == straight(ray_config)[1]


def test_the_weights_of_the_best_epoch_are_kept(trial_of, tmp_path):
    trial = trial_of(number=4, weights_dir=str(tmp_path / "weights"), epochs=3)
    path = weights_path(tmp_path / "weights", 4)
    for _ in range(3):
        written = path.stat().st_mtime_ns if path.exists() else 0
        result = trial.train()
        assert (path.stat().st_mtime_ns > written) is (result["best/epoch"] == result["epoch"])


def ended(result, status):
    assert result["done"] is True
    assert result["end_status"] == status
    assert not any(isinstance(v, float) and math.isnan(v) for v in result.values())
    assert not any(key.startswith(("train/", "val/")) for key in result)
    return result


def poison(trial, monkeypatch):
    monkeypatch.setattr(trial._session, "_loss", lambda logits, _targets: logits.sum() * math.nan)


def test_divergence_at_once(trial_of, monkeypatch):
    trial = trial_of()
    poison(trial, monkeypatch)
    result = ended(trial.train(), "diverged")
    assert result["end_reason"] == "the loss is not finite at step 0"
    assert (result["epoch"], result[BEST_OBJECTIVE], result["best/epoch"]) == (1, 0.0, 0)


def test_divergence_later_keeps_the_best_so_far(trial_of, monkeypatch):
    trial = trial_of()
    before = trial.train()
    poison(trial, monkeypatch)
    result = ended(trial.train(), "diverged")
    assert result["end_reason"] == "the loss is not finite at step 2"
    assert (result["epoch"], result["best/epoch"]) == (2, 1)
    assert result[BEST_OBJECTIVE] == before[BEST_OBJECTIVE]


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


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_out_of_memory_in_an_epoch(trial_of, ray_config, monkeypatch, error):
    trial = trial_of()

    def fail(*_args):
        raise error

    monkeypatch.setattr(trial._session, "_loss", fail)
    result = ended(trial.train(), "out_of_memory")
    assert result["end_reason"] == (str(error).splitlines() or ["MemoryError"])[0]
    trial.reset(ray_config())
    assert numbers(trial.train()) == straight(ray_config)[0]


def test_out_of_memory_in_the_set_up(trial_of, ray_config, monkeypatch):
    def fail(*_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("trainable.loop.build_model", fail)
    trial = trial_of()
    result = ended(trial.train(), "out_of_memory")
    assert (result["epoch"], result[BEST_OBJECTIVE]) == (1, 0.0)
    monkeypatch.undo()
    trial.reset(ray_config())
    assert numbers(trial.train()) == straight(ray_config)[0]


def test_any_other_error_is_not_hidden(trial_of, monkeypatch):
    trial = trial_of()

    def fail(*_args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(trial._session, "_loss", fail)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        trial.train()


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
            run_config=tune.RunConfig(storage_path=str(tmp_path / "tune"), verbose=0),
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
