"""The Ray side of a trial: steps, reuse, honest ends, weights; once under a real Tuner."""

import logging
import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.tiny import tiny_encoded, tiny_encoder
from trainable.config import BEST_OBJECTIVE, OBJECTIVE, TrialConfig
from trainable.forward import Forward
from trainable.loop import TrainingSession
from trainable.trial import FineTuneTrial
from trainable.weights import kept_epoch, weights_path

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
        names = ("checkpoints_dir", "checkpoint_every", "resumes", "halved")
        checkpoints = {name: settings.pop(name) for name in names if name in settings}
        values = {"dataset": "tiny", "encoder": str(encoder), "max_length": 32, "epochs": 2}
        config = TrialConfig(**{**values, "learning_rate": 3e-3, "num_threads": 1, **settings})
        where = {"number": number, "weights_dir": weights_dir, **checkpoints}
        return {**where, "config": config.to_mapping()}

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


def clone(trial):
    return {name: tensor.clone() for name, tensor in trial._session.model.state_dict().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def saving(tmp_path, every=1, **more):
    return {"checkpoints_dir": str(tmp_path / "checkpoints"), "checkpoint_every": every, **more}


def interrupted(trial_of, tmp_path, epochs=2, **more):
    """The results of a trial 1 that somebody kills after some epochs."""
    trial = trial_of(number=1, epochs=4, **saving(tmp_path, **more))
    return [trial.train() for _ in range(epochs)]


def strip(result):
    """A result without what Ray adds."""
    return {k: v for k, v in result.items() if "/" in k or k in ("epoch", "done", "note")}


@pytest.mark.parametrize("rerun", [{"number": 1}, {"number": 3, "resumes": (2, 1)}])
def test_a_rerun_tells_of_each_epoch_and_trains_the_rest(trial_of, ray_config, tmp_path, rerun):
    before = interrupted(trial_of, tmp_path)
    trial = trial_of(epochs=4, **saving(tmp_path, **rerun))
    trained = count_epochs(trial)
    results = [trial.train() for _ in range(4)]
    # the very same, times included: they were not trained again
    assert [strip(result) for result in results[:2]] == [strip(result) for result in before]
    assert len(trained) == 2
    assert [numbers(result) for result in results] == straight(ray_config, epochs=4)
    assert [result["done"] for result in results] == [False, False, False, True]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [
        f"trial-0000{rerun['number']}.pt"
    ]


def count_epochs(trial):
    calls, real = [], trial._session.run_epoch
    trial._session.run_epoch = lambda: calls.append(1) or real()
    return calls


def test_checkpoints_come_as_often_as_asked_and_never_after_the_last_epoch(
    trial_of, tmp_path, monkeypatch
):
    saved = []
    monkeypatch.setattr(
        "trainable.trial.save_checkpoint", lambda session, *_: saved.append(session.epoch)
    )
    for every, epochs in ((0, []), (1, [1, 2, 3]), (2, [2]), (3, [3]), (9, [])):
        trial = trial_of(epochs=4, **saving(tmp_path, every))
        while not trial.train()["done"]:
            pass
        assert saved == epochs
        saved.clear()


def test_a_rerun_that_asha_stops_among_the_told_epochs(trial_of, ray_config, tmp_path):
    before = interrupted(trial_of, tmp_path, epochs=3)
    trial = trial_of(number=2, epochs=4, **saving(tmp_path, resumes=(1,)))
    assert strip(trial.train()) == strip(before[0])
    trial.reset(ray_config())
    assert [numbers(trial.train()) for _ in range(2)] == straight(ray_config)


def test_the_weights_of_a_best_epoch_in_the_checkpoint_are_kept(trial_of, tmp_path):
    weights_dir = str(tmp_path / "weights")
    interrupted(trial_of, tmp_path, epochs=1)  # killed before it wrote its weights
    trial = trial_of(number=2, epochs=4, weights_dir=weights_dir, **saving(tmp_path, resumes=(1,)))
    state = clone(trial)
    trial.train()
    trial.trial_over()
    trial.cleanup()
    assert same(load_file(weights_path(tmp_path / "weights", 2)), state)


def test_best_weights_that_a_checkpoint_lacks_are_on_disk_before_it(
    trial_of, tmp_path, monkeypatch
):
    trial = trial_of(epochs=4, weights_dir=str(tmp_path / "weights"), **saving(tmp_path))
    worse = {"val/objective": 0.0, "val/threshold": 0.5}
    path = weights_path(tmp_path / "weights", 0)
    trial.train()
    assert not path.exists()
    monkeypatch.setattr(trial._session, "evaluate", lambda _split: worse)
    trial.train()
    assert kept_epoch(path).epoch == 1


def spoil(content):
    def write(path):
        path.write_bytes(content)

    return write


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (spoil(b""), "is damaged (EOFError)"),
        (spoil(b"nonsense"), "is damaged (UnpicklingError)"),
        (lambda path: torch.save({"config": 1}, path), "is of another config"),
        (lambda path: edit(path, dataset="x"), "is of another dataset"),
        (lambda path: edit(path, optimizer={}), "does not fit (KeyError)"),
        (lambda path: edit(path, model={}), "does not fit (RuntimeError)"),
    ],
)
def test_a_checkpoint_that_does_not_serve_costs_time_and_a_word(
    trial_of, ray_config, tmp_path, spoil, why
):
    interrupted(trial_of, tmp_path)
    spoil(tmp_path / "checkpoints" / "trial-00001.pt")
    trial = trial_of(number=2, epochs=4, **saving(tmp_path, resumes=(1,)))
    results = [trial.train() for _ in range(2)]
    assert [numbers(result) for result in results] == straight(ray_config, epochs=4)[:2]
    assert results[0]["note"].startswith("trains from its first epoch: checkpoint ")
    assert why in results[0]["note"]
    assert results[1]["note"] == ""


def edit(path, **changes):
    torch.save({**torch.load(path, weights_only=True), **changes}, path)


def test_a_full_disk_is_told_once_and_trains_on(trial_of, ray_config, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainable.trial.save_checkpoint", full)
    trial = trial_of(epochs=4, **saving(tmp_path))
    results = [trial.train() for _ in range(4)]
    assert [numbers(result) for result in results] == straight(ray_config, epochs=4)
    assert [result["note"] for result in results] == [
        "goes on without new checkpoints: [Errno 28] No space left on device",
        *[""] * 3,
    ]


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


def test_no_memory_for_the_weights_costs_the_weights(trial_of, ray_config, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be ...")

    trial = trial_of(weights_dir=str(tmp_path / "weights"), epochs=3)
    monkeypatch.setattr(trial._best_weights, "_copy", fail)
    results = [trial.train() for _ in range(3)]
    assert [numbers(result) for result in results] == straight(ray_config, epochs=3)
    notes = [result["note"] for result in results]
    assert notes == [
        "",
        "warns: no memory for the weights of trial 0: CUDA error: out of memory",
        "",
    ]
    trial.trial_over()
    trial.stop()
    assert list((tmp_path / "weights").glob("trial-*")) == []


def test_memory_that_runs_out_while_a_checkpoint_is_read(trial_of, tmp_path, monkeypatch):
    """The checkpoint is not damaged: the trial's end says what went wrong."""
    interrupted(trial_of, tmp_path)

    def fail(*_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("trainable.checkpoint.torch.load", fail)
    trial = trial_of(number=2, epochs=4, **saving(tmp_path, resumes=(1,)))
    result = ended(trial.train(), "out_of_memory")
    why = "with micro-batches of at most 16 documents: CUDA out of memory."
    assert result["end_reason"] == why


def ended(result, status):
    assert result["done"] is True
    assert result["end_status"] == status
    assert not any(isinstance(v, float) and math.isnan(v) for v in result.values())
    assert not any(key.startswith(("train/", "val/")) for key in result)
    return result


def poison(trial):
    trial._session._step._loss = lambda logits, _targets: logits.sum() * math.nan


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


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_out_of_memory_twice(trial_of, ray_config, monkeypatch, error):
    trial = trial_of(epochs=4)
    last = trial.train()

    def fail(*_args):
        raise error

    monkeypatch.setattr("trainable.step.OptimizerStep.accumulate_gradients", fail)
    result = ended(trial.train(), "out_of_memory")
    why = (str(error).splitlines() or ["MemoryError"])[0]
    assert result["end_reason"] == f"with micro-batches of at most 16 documents: {why}"
    assert result["note"] == (
        "out of memory in epoch 2, goes on with micro-batches of at most 16 documents instead of "
        f"32 (same batch of 32): {why}"
    )
    # what was told before stays the trial's
    assert (result["epoch"], result["restarted"]) == (2, "")
    assert result[BEST_OBJECTIVE] == last[BEST_OBJECTIVE]
    monkeypatch.undo()
    trial.reset(ray_config())
    assert numbers(trial.train()) == straight(ray_config)[0]


def test_out_of_memory_in_the_set_up(trial_of, ray_config, monkeypatch):
    def fail(*_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("trainable.model.build_model", fail)
    trial = trial_of()
    result = ended(trial.train(), "out_of_memory")
    assert (result["epoch"], result[BEST_OBJECTIVE]) == (1, 0.0)
    assert result["note"].startswith("out of memory in the set-up, goes on with micro-batches of")
    trial.reset(ray_config())
    monkeypatch.undo()
    result = trial.train()  # there is memory again
    assert result["restarted"].startswith("out of memory in the set-up, goes on")
    assert result[BEST_OBJECTIVE] > 0
    trial.reset(ray_config())
    assert numbers(trial.train()) == straight(ray_config)[0]


EXACT = {"dropout": 0.0, "attention_dropout": 0.0, "precision": "fp32"}


def no_memory_for(docs, monkeypatch, *, after=0):
    """Memory for fewer than `docs` documents at once in training, once `after` slices have fitted;
    gives the sizes of all slices."""
    sizes, real = [], Forward.logits

    def logits(forward, split, docs_B):
        if forward.model.training:
            sizes.append(len(docs_B))
            if len(sizes) > after and len(docs_B) >= docs:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore")
        return real(forward, split, docs_B)

    monkeypatch.setattr(Forward, "logits", logits)
    return sizes


def test_out_of_memory_once_goes_on_with_half_the_micro_batch(
    trial_of, ray_config, tmp_path, monkeypatch
):
    """In the third of four epochs, without dropout: the numbers of an undisturbed trial."""
    expected = straight(ray_config, epochs=4, **EXACT)
    sizes = no_memory_for(17, monkeypatch, after=4)
    weights_dir = tmp_path / "weights"
    trial = trial_of(epochs=4, weights_dir=str(weights_dir), **EXACT)
    results = [trial.train() for _ in range(6)]
    assert [result["epoch"] for result in results] == [1, 2, 1, 2, 3, 4]
    for result, wanted in zip(results, [*expected[:2], *expected], strict=True):
        assert numbers(result) == pytest.approx(wanted, abs=1e-6)
    assert [result["done"] for result in results] == [False] * 5 + [True]
    told = (
        "out of memory in epoch 3, goes on with micro-batches of at most 16 documents instead of "
        "32 (same batch of 32): CUDA out of memory. Tried to allocate 2 GiB."
    )
    assert [result["restarted"] for result in results] == ["", "", told, "", "", ""]
    assert sizes[:5] == [32, 28, 32, 28, 32]
    assert max(sizes[5:]) == 16
    assert sum(sizes[5:]) == 4 * 60
    trial.trial_over()
    trial.stop()
    assert kept_epoch(weights_path(weights_dir, 0)).epoch == results[-1]["best/epoch"]


def test_the_next_trial_of_an_actor_has_whole_micro_batches_again(
    trial_of, ray_config, monkeypatch
):
    no_memory_for(17, monkeypatch)
    trial = trial_of(**EXACT)
    assert trial.train()["restarted"]
    monkeypatch.undo()
    sizes = no_memory_for(99, monkeypatch)
    trial.reset(ray_config(number=1))
    assert trial.train()["restarted"] == ""
    assert sizes == [32, 28]


def test_out_of_memory_goes_on_from_the_last_checkpoint(
    trial_of, ray_config, tmp_path, monkeypatch
):
    expected = straight(ray_config, epochs=4, **EXACT)
    no_memory_for(17, monkeypatch, after=4)
    trial = trial_of(number=1, epochs=4, **saving(tmp_path), **EXACT)
    before = [trial.train() for _ in range(2)]
    calls, real = [], TrainingSession.run_epoch
    monkeypatch.setattr(
        TrainingSession, "run_epoch", lambda self: calls.append(self.epoch) or real(self)
    )
    results = [trial.train() for _ in range(4)]
    assert calls == [2, 2, 3]  # the third failed and was trained again
    assert [result["epoch"] for result in results] == [1, 2, 3, 4]
    assert [strip(result) for result in results[:2]] == [strip(result) for result in before]
    for result, wanted in zip(results, expected, strict=True):
        assert numbers(result) == pytest.approx(wanted, abs=1e-6)


def test_a_micro_batch_of_one_document_is_not_halved(trial_of, monkeypatch):
    sizes = no_memory_for(1, monkeypatch)
    trial = trial_of(batch_size=1)
    result = ended(trial.train(), "out_of_memory")
    why = "CUDA out of memory. Tried to allocate 2 GiB."
    assert result["end_reason"] == f"with micro-batches of one document: {why}"
    assert (sizes, result["note"]) == ([1], "")


def test_a_trial_that_is_told_to_begins_with_half_the_micro_batch(trial_of, monkeypatch):
    """Ray's memory monitor ended its worker; the driver, which knows, says so to the next one."""
    sizes = no_memory_for(99, monkeypatch)
    trial = trial_of(halved=True)
    assert trial.train()["restarted"] == ""
    assert max(sizes) == 16


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
