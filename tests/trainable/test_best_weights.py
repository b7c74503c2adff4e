"""The best weights in memory: copied, written when it costs nobody time, and never mixed up."""

import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trainable import best_weights
from trainable.best_weights import BestCopy, BestWeights
from trainable.weights import KeptEpoch, kept_epoch, weights_path


@pytest.fixture
def best():
    best = BestWeights(write_after_s=60.0)
    yield best
    best.flush()


def copy_of(folder: Path, number=0, objective=0.5, epoch=1) -> BestCopy:
    return BestCopy(
        weights_dir=folder, number=number, objective=objective, epoch=epoch, threshold=0.3
    )


def state(value: float, width=3):
    return {"w": torch.full((2, width), value), "b": torch.full((width,), -value)}


def files(folder):
    return sorted(path.name for path in folder.glob("trial-*")) if folder.exists() else []


def value_in(folder, number=0):
    return load_file(weights_path(folder, number))["w"].unique().tolist()


def test_nothing_is_written_before_it_must(best, tmp_path):
    live = state(1.0)
    best.take(copy_of(tmp_path), live)
    live["w"].fill_(9.0)  # the next epoch trains on
    assert files(tmp_path) == []
    best.flush()
    assert value_in(tmp_path) == [1.0]
    assert kept_epoch(weights_path(tmp_path, 0)) == KeptEpoch(epoch=1, objective=0.5)


def test_a_later_epoch_takes_the_place_of_an_earlier_one(best, tmp_path, monkeypatch):
    written = count_writes(monkeypatch)
    for epoch in (1, 2, 3):
        best.take(copy_of(tmp_path, objective=epoch / 10, epoch=epoch), state(float(epoch)))
    best.flush()
    best.flush()
    assert value_in(tmp_path) == [3.0]
    assert len(written) == 1


def test_it_is_written_after_a_while_by_itself(tmp_path):
    best = BestWeights(write_after_s=0.05)
    best.take(copy_of(tmp_path), state(1.0))
    assert wait_for(lambda: files(tmp_path) == ["trial-00000.safetensors"])
    best.flush()


def test_write_soon_does_not_wait(best, tmp_path, monkeypatch):
    go_on = threading.Event()
    real = best_weights.keep_if_best
    monkeypatch.setattr(
        best_weights, "keep_if_best", lambda *a, **k: go_on.wait(10) and real(*a, **k)
    )
    best.take(copy_of(tmp_path), state(1.0))
    best.write_soon()
    assert files(tmp_path) == []
    go_on.set()
    best.flush()
    assert value_in(tmp_path) == [1.0]


@pytest.mark.parametrize("begun", [False, True])
def test_the_next_trial_does_not_overwrite_what_is_not_written(best, tmp_path, begun):
    best.take(copy_of(tmp_path, 1, 0.5), state(1.0))
    if begun:
        best.write_soon()
    best.take(copy_of(tmp_path, 2, 0.5), state(2.0, width=5))  # another shape: new buffers
    best.flush()
    assert (value_in(tmp_path, 1), value_in(tmp_path, 2)) == ([1.0], [2.0])


def test_an_epoch_worse_than_what_is_on_disk_is_not_even_copied(best, tmp_path, monkeypatch):
    best.take(copy_of(tmp_path, 1, 0.5), state(1.0))
    best.flush()
    monkeypatch.setattr(best, "_fill", lambda *_: pytest.fail("copied"))
    best.take(copy_of(tmp_path, 2, 0.4), state(2.0))
    best.flush()
    assert files(tmp_path) == ["trial-00001.safetensors"]


def test_buffers_are_used_again(best, tmp_path):
    best.take(copy_of(tmp_path), state(1.0))
    before = {name: buffer.data_ptr() for name, buffer in best._buffers.items()}
    best.take(copy_of(tmp_path, objective=0.6), state(2.0))
    best.take(copy_of(tmp_path, 1, objective=0.7), state(3.0))
    assert {name: buffer.data_ptr() for name, buffer in best._buffers.items()} == before
    best.take(copy_of(tmp_path, 2, objective=0.8), {"other": torch.ones(1)})
    assert list(best._buffers) == ["other"]


def test_a_full_disk_costs_the_weights_not_the_trial(best, tmp_path, monkeypatch, caplog):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(best_weights, "keep_if_best", full)
    best.take(copy_of(tmp_path), state(1.0))
    best.flush()
    assert "cannot keep the weights of trial 0: [Errno 28] No space left" in caplog.text
    monkeypatch.undo()
    best.take(copy_of(tmp_path, 1), state(2.0))
    best.flush()
    assert files(tmp_path) == ["trial-00001.safetensors"]


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: out of memory\nMore"), MemoryError("none left")]
)
def test_no_memory_costs_the_weights_not_the_trial(best, tmp_path, monkeypatch, caplog, error):
    best.take(copy_of(tmp_path, 1, 0.5), state(1.0))
    best.take(copy_of(tmp_path, 2, 0.6), state(2.0))  # the first trial's are written

    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("trainable.best_weights.torch.empty", fail)
    best.take(copy_of(tmp_path, 2, 0.7, epoch=2), {**state(3.0), "new": torch.ones(1)})
    best.flush()
    assert files(tmp_path) == ["trial-00001.safetensors"]  # never half of one epoch's
    assert best._buffers == {}
    first = str(error).splitlines()[0]
    assert caplog.messages == [f"no memory for the weights of trial 2: {first}"]
    monkeypatch.undo()
    best.take(copy_of(tmp_path, 2, 0.8, epoch=3), state(4.0))
    best.flush()
    assert value_in(tmp_path, 2) == [4.0]


def test_any_other_error_of_a_copy_is_not_hidden(best, tmp_path):
    best.take(copy_of(tmp_path), state(1.0))
    with pytest.raises(RuntimeError, match="meta"):
        best.take(copy_of(tmp_path), {"w": torch.empty((2, 3), device="meta")})


def test_no_thread_stays(best, tmp_path):
    before = threading.active_count()
    best.take(copy_of(tmp_path), state(1.0))
    best.take(copy_of(tmp_path, epoch=2), state(1.0))
    best.flush()
    assert wait_for(lambda: threading.active_count() == before)


def test_nothing_to_write(best, tmp_path):
    best.write_soon()
    best.flush()
    assert files(tmp_path) == []


def count_writes(monkeypatch):
    calls, real = [], best_weights.keep_if_best
    monkeypatch.setattr(
        best_weights, "keep_if_best", lambda *a, **k: calls.append(a) or real(*a, **k)
    )
    return calls


def wait_for(condition, timeout_s=10.0):
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
