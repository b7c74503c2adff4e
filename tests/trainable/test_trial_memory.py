"""Trials whose memory runs out: half the micro-batch with the same numbers, then an honest end."""

import pytest
import torch

from tests.local_trial import ended, numbers, saving, straight, strip
from trainable.config import BEST_OBJECTIVE
from trainable.forward import Forward
from trainable.loop import TrainingSession
from trainable.weights import kept_epoch, weights_path


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
