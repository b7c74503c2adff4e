"""A training as files: resumed it equals a straight run; damaged it is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_encoded, tiny_encoder
from trainable.checkpoint import (
    checkpoint_path,
    claim_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from trainable.config import TrialConfig
from trainable.errors import UserError
from trainable.loop import TrainingSession
from trainable.model import PristineWeights

DATA = tiny_encoded()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> PristineWeights:
    return PristineWeights.load(str(tiny_encoder(tmp_path_factory.mktemp("encoder"))))


@pytest.fixture
def session_of(pristine):
    def build(data=DATA, **settings):
        values = {"dataset": "tiny", "max_length": 32, "learning_rate": 3e-3, "epochs": 3}
        config = TrialConfig(encoder=pristine.encoder, **{**values, **settings})
        return TrainingSession(config, data, device=torch.device("cpu"), pristine=pristine)

    return build


@pytest.fixture
def saved(session_of, tmp_path) -> Path:
    path = checkpoint_path(tmp_path / "checkpoints", 7)
    train_and_save(session_of(), path)
    return path


def numbers(result):
    return {
        name: value for name, value in result.items() if not name.startswith(("time/", "system/"))
    }


def train_and_save(session, path):
    metrics = [session.run_epoch()]
    save_checkpoint(session, path, metrics)
    return metrics


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resumed_equals_straight(session_of, tmp_path, precision):
    settings = {"precision": precision, "lr_schedule": "linear", "warmup_fraction": 0.3}
    straight, first, second = (session_of(**settings) for _ in range(3))
    expected = [numbers(straight.run_epoch()) for _ in range(3)]
    metrics = train_and_save(first, tmp_path / "c.pt")
    second.run_epoch()  # whatever it was before does not matter
    second.run_epoch()
    assert load_checkpoint(second, tmp_path / "c.pt") == metrics
    assert second.epoch == 1
    assert [numbers(second.run_epoch()) for _ in range(2)] == expected[1:]


def test_a_later_checkpoint_replaces_an_earlier_one(session_of, saved):
    session = session_of()
    metrics = load_checkpoint(session, saved)
    metrics.append(session.run_epoch())
    save_checkpoint(session, saved, metrics)
    assert list(saved.parent.iterdir()) == [saved]
    other = session_of()
    assert load_checkpoint(other, saved) == metrics
    assert other.epoch == 2
    assert other.best == session.best


def test_nothing_in_a_checkpoint_is_unpickled_freely(saved):
    state = torch.load(saved, weights_only=True)
    assert state["epoch"] == 1


@pytest.mark.parametrize("damage", ["missing", "torn", "nonsense", "empty"])
def test_damaged(session_of, saved, damage):
    content = saved.read_bytes()
    saved.unlink()
    if damage != "missing":
        torn = {"torn": content[: len(content) // 2], "nonsense": b"nonsense", "empty": b""}
        saved.write_bytes(torn[damage])
    with pytest.raises(UserError, match=r"is damaged \(\w+\): start the trial anew"):
        load_checkpoint(session_of(), saved)


@pytest.mark.parametrize("where", ["torch.load", "Session.load_state_dict"])
def test_out_of_memory_is_no_damage(session_of, saved, monkeypatch, where):
    def fail(*_args, **_kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    session = session_of()
    if where == "torch.load":
        monkeypatch.setattr(torch, "load", fail)
    else:
        monkeypatch.setattr(session, "load_state_dict", fail)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        load_checkpoint(session, saved)


@pytest.mark.parametrize("content", [[], {"epoch": 1}, 5])
def test_foreign(session_of, tmp_path, content):
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(UserError, match=r"does not fit \(\w+\): start the trial anew"):
        load_checkpoint(session_of(), tmp_path / "c.pt")


def test_of_other_weights(session_of, saved):
    state = torch.load(saved, weights_only=True)
    state["model"].popitem()
    torch.save(state, saved)
    with pytest.raises(UserError, match=r"does not fit \(RuntimeError\): start the trial anew"):
        load_checkpoint(session_of(), saved)


def test_a_full_disk_leaves_the_older_checkpoint(session_of, saved):
    """A real limit on the size of files, in a process of its own."""
    child = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, saved],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert (child.stdout, child.returncode) == ("OSError\n", 0), child.stderr
    assert list(saved.parent.iterdir()) == [saved]
    assert len(load_checkpoint(session_of(), saved)) == 1


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from types import SimpleNamespace
import torch
from trainable.checkpoint import save_checkpoint
from trainable.config import TrialConfig
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
session = SimpleNamespace(
    state_dict=lambda: {"epoch": 2, "model": {"w": torch.zeros(100_000)}},
    config=TrialConfig(), data=SimpleNamespace(fingerprint="x"),
)
try:
    save_checkpoint(session, Path(sys.argv[1]), [])
except OSError as error:
    print(type(error).__name__)
"""


def test_of_another_config(session_of, saved):
    with pytest.raises(UserError, match="is of another config: start the trial anew"):
        load_checkpoint(session_of(learning_rate=1e-3), saved)


def test_of_another_dataset(session_of, saved):
    with pytest.raises(UserError, match="is of another dataset: start the trial anew"):
        load_checkpoint(session_of(tiny_encoded(seed=1)), saved)


def test_a_rerun_takes_the_checkpoint_over(tmp_path):
    def there():
        return sorted(path.name for path in tmp_path.iterdir())

    assert claim_checkpoint(tmp_path, 3, [2, 1]) is None
    checkpoint_path(tmp_path, 1).write_bytes(b"first")
    assert claim_checkpoint(tmp_path, 3, [2, 1]) == checkpoint_path(tmp_path, 3)
    assert there() == ["trial-00003.pt"]
    assert claim_checkpoint(tmp_path, 3, [2, 1]).read_bytes() == b"first"
    assert claim_checkpoint(tmp_path, 4, []) is None
    assert claim_checkpoint(tmp_path, 4, [3]).name == "trial-00004.pt"


def test_its_own_checkpoint_comes_first(tmp_path):
    checkpoint_path(tmp_path, 1).write_bytes(b"old")
    checkpoint_path(tmp_path, 3).write_bytes(b"own")
    assert claim_checkpoint(tmp_path, 3, [1]).read_bytes() == b"own"
