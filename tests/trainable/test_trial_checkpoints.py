"""A trial whose checkpoint an earlier attempt left: what is told again, trained, or of no use."""

import pytest
import torch
from safetensors.torch import load_file

from tests.local_trial import clone, ended, interrupted, numbers, same, saving, straight, strip
from trainable.weights import kept_epoch, weights_path


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
