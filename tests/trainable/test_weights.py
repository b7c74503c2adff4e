"""The best weights of a search: kept, replaced, pruned, never torn."""

import threading

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from trainable import weights
from trainable.weights import (
    KeptEpoch,
    drop_stale,
    keep_if_best,
    kept_epoch,
    prune_weights,
    weights_path,
)


def keep(folder, number, objective, value=0.0, epoch=1):
    return keep_if_best(
        folder,
        number,
        objective=objective,
        epoch=epoch,
        threshold=0.37,
        state={"w": torch.full((2, 3), value)},
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_first_weights_are_kept_with_what_they_are(tmp_path):
    folder = tmp_path / "weights"
    path = keep(folder, 3, 0.1 + 0.2, value=5.0, epoch=4)
    assert path == weights_path(folder, 3) == folder / "trial-00003.safetensors"
    assert torch.equal(load_file(path)["w"], torch.full((2, 3), 5.0))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert float(metadata["objective"]) == 0.1 + 0.2
    assert (metadata["epoch"], metadata["threshold"]) == ("4", "0.37")


def test_only_the_best_stay(tmp_path):
    assert keep(tmp_path, 0, 0.5)
    assert keep(tmp_path, 1, 0.4) is None
    assert keep(tmp_path, 2, 0.6)
    assert names(tmp_path) == ["trial-00002.safetensors"]


def test_ties_stay(tmp_path):
    keep(tmp_path, 4, 0.5)
    keep(tmp_path, 2, 0.5)
    assert names(tmp_path) == ["trial-00002.safetensors", "trial-00004.safetensors"]


def test_a_trial_replaces_its_own_file(tmp_path):
    keep(tmp_path, 1, 0.5, value=1.0)
    keep(tmp_path, 1, 0.7, value=2.0)
    assert load_file(weights_path(tmp_path, 1))["w"].unique().tolist() == [2.0]


def test_prune_after_a_race(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_recorded", lambda _folder: {})
    for number, objective in enumerate([0.3, 0.9, 0.5]):
        keep(tmp_path, number, objective)
    monkeypatch.undo()
    assert len(names(tmp_path)) == 3
    prune_weights(tmp_path)
    assert names(tmp_path) == ["trial-00001.safetensors"]


def test_prune_spares_a_file_that_was_replaced_meanwhile(tmp_path, monkeypatch):
    """A pruner has read that trial 1 is not the best; now trial 1 puts a better file in place."""
    real = weights._recorded
    monkeypatch.setattr(weights, "_recorded", lambda _folder: {})
    keep(tmp_path, 0, 0.5)
    keep(tmp_path, 1, 0.4)
    has_read, go_on = threading.Event(), threading.Event()

    def slow(folder):
        found = real(folder)
        if not has_read.is_set():
            has_read.set()
            go_on.wait(10)
        return found

    monkeypatch.setattr(weights, "_recorded", slow)
    pruner = threading.Thread(target=prune_weights, args=(tmp_path,))
    trainer = threading.Thread(target=keep, args=(tmp_path, 1, 0.9))
    pruner.start()
    assert has_read.wait(10)
    trainer.start()
    trainer.join(0.3)
    go_on.set()
    for thread in (pruner, trainer):
        thread.join(10)
    assert names(tmp_path) == ["trial-00001.safetensors"]
    assert kept_epoch(weights_path(tmp_path, 1)).objective == 0.9


def test_what_is_written_while_a_better_one_comes_is_dropped(tmp_path, monkeypatch):
    real = weights.save_file

    def overtaken(*args, **kwargs):
        monkeypatch.setattr(weights, "save_file", real)
        keep(tmp_path, 2, 0.8)
        real(*args, **kwargs)

    monkeypatch.setattr(weights, "save_file", overtaken)
    assert keep(tmp_path, 1, 0.7) is None
    assert names(tmp_path) == ["trial-00002.safetensors"]


def test_a_file_says_its_epoch(tmp_path):
    path = keep(tmp_path, 1, 0.1 + 0.2, epoch=7)
    assert kept_epoch(path) == KeptEpoch(epoch=7, objective=0.1 + 0.2)
    assert kept_epoch(tmp_path / "absent") is None
    path.write_bytes(path.read_bytes()[:-4])
    assert kept_epoch(path) is None


def test_files_that_are_not_what_is_wanted_go(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_recorded", lambda _folder: {})
    for number in range(4):
        keep(tmp_path, number, 0.5, epoch=2)
    weights_path(tmp_path, 4).write_bytes(b"torn")
    (tmp_path / "trial-00005.tmp").write_bytes(b"half")
    right = KeptEpoch(epoch=2, objective=0.5)
    wanted = {
        0: right,
        1: KeptEpoch(epoch=3, objective=0.5),
        2: KeptEpoch(epoch=2, objective=0.4),
        4: right,
    }
    drop_stale(tmp_path, wanted, number=1)
    assert len(names(tmp_path)) == 5
    drop_stale(tmp_path, wanted)
    assert names(tmp_path) == ["trial-00000.safetensors"]
    drop_stale(tmp_path / "absent", wanted)


def test_damaged_files_never_win(tmp_path):
    weights_path(tmp_path, 7).write_bytes(b"nonsense")
    (tmp_path / "notes.txt").write_text("mine")
    keep(tmp_path, 1, 0.0)
    assert names(tmp_path) == ["notes.txt", "trial-00001.safetensors"]


def test_prune_of_an_empty_or_missing_folder(tmp_path):
    prune_weights(tmp_path)
    prune_weights(tmp_path / "absent")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device"),
    ],
)
def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch, error):
    keep(tmp_path, 1, 0.5, value=1.0)

    def full(_tensors, path, **_kwargs):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        keep(tmp_path, 1, 0.6)
    assert names(tmp_path) == ["trial-00001.safetensors"]
    assert load_file(weights_path(tmp_path, 1))["w"].unique().tolist() == [1.0]
