"""The best weights of a search: kept, replaced, pruned, never torn."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from trainable import weights
from trainable.weights import keep_if_best, prune_weights, weights_path


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
    return sorted(path.name for path in folder.iterdir())


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


def test_damaged_files_never_win(tmp_path):
    weights_path(tmp_path, 7).write_bytes(b"nonsense")
    (tmp_path / "notes.txt").write_text("mine")
    keep(tmp_path, 1, 0.0)
    assert names(tmp_path) == ["notes.txt", "trial-00001.safetensors"]


def test_prune_of_an_empty_or_missing_folder(tmp_path):
    prune_weights(tmp_path)
    prune_weights(tmp_path / "absent")
    assert names(tmp_path) == []


def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch):
    keep(tmp_path, 1, 0.5, value=1.0)

    def full(_tensors, path, **_kwargs):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        keep(tmp_path, 1, 0.6)
    assert names(tmp_path) == ["trial-00001.safetensors"]
    assert load_file(weights_path(tmp_path, 1))["w"].unique().tolist() == [1.0]
