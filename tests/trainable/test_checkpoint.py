"""A training as files: resumed it equals a straight run; damaged it is refused."""

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_encoded, tiny_encoder
from trainable import checkpoint
from trainable.checkpoint import load_checkpoint, save_checkpoint
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
    session = session_of()
    session.run_epoch()
    save_checkpoint(session, tmp_path / "saved")
    return tmp_path / "saved"


def numbers(result):
    return {name: value for name, value in result.items() if not name.startswith("time/")}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resumed_equals_straight(session_of, tmp_path, precision):
    settings = {"precision": precision, "lr_schedule": "linear", "warmup_fraction": 0.3}
    straight, first, second = (session_of(**settings) for _ in range(3))
    expected = [numbers(straight.run_epoch()) for _ in range(3)]
    first.run_epoch()
    save_checkpoint(first, tmp_path)
    second.run_epoch()  # whatever it was before does not matter
    second.run_epoch()
    load_checkpoint(second, tmp_path)
    assert second.epoch == 1
    assert [numbers(second.run_epoch()) for _ in range(2)] == expected[1:]


def test_a_later_checkpoint_replaces_an_earlier_one(session_of, saved):
    session = session_of()
    load_checkpoint(session, saved)
    session.run_epoch()
    save_checkpoint(session, saved)
    assert sorted(path.name for path in saved.iterdir()) == ["model.safetensors", "training.pt"]
    other = session_of()
    load_checkpoint(other, saved)
    assert other.epoch == 2
    assert other.best == session.best


def test_nothing_in_a_checkpoint_is_unpickled_freely(saved):
    state = torch.load(saved / "training.pt", weights_only=True)
    assert state["epoch"] == 1


@pytest.mark.parametrize("name", ["model.safetensors", "training.pt"])
@pytest.mark.parametrize("damage", ["missing", "torn", "nonsense"])
def test_damaged(session_of, saved, name, damage):
    path = saved / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[: len(content) // 2] if damage == "torn" else b"nonsense")
    with pytest.raises(UserError, match=r"is damaged \(\w+\): start the trial anew"):
        load_checkpoint(session_of(), saved)


def test_cut_off_between_the_two_files(session_of, saved, monkeypatch):
    session = session_of()
    load_checkpoint(session, saved)
    session.run_epoch()
    monkeypatch.setattr(checkpoint.torch, "save", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        save_checkpoint(session, saved)
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"damaged \(weights of epoch 2, optimiser of epoch 1\)"):
        load_checkpoint(session_of(), saved)


def test_of_another_config(session_of, saved):
    with pytest.raises(UserError, match="is of another config: start the trial anew"):
        load_checkpoint(session_of(learning_rate=1e-3), saved)


def test_of_another_dataset(session_of, saved):
    with pytest.raises(UserError, match="is of another dataset: start the trial anew"):
        load_checkpoint(session_of(tiny_encoded(seed=1)), saved)
