"""What a full disk leaves of a model folder; that it loads is shown by test_retrain*."""

import resource
from types import SimpleNamespace

import pytest
import torch

from tests.tiny import tiny_encoded, tiny_encoder
from trainable.config import TrialConfig
from trainable.errors import UserError
from trainable.model import PristineWeights, build_model
from trainable.model_folder import save_model_folder


@pytest.fixture
def small_files():
    """A real limit on the size of files, as a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_weights_that_the_disk_cannot_hold_are_one_line(tmp_path, request):
    encoder = str(tiny_encoder(tmp_path / "encoder"))
    config = TrialConfig(encoder=encoder, max_length=32)
    names = tiny_encoded().label_names
    model = build_model(PristineWeights.load(encoder), config, names, torch.device("cpu"))
    result = SimpleNamespace(
        model=model,
        best=SimpleNamespace(config=config, threshold=0.5),
        dataset=SimpleNamespace(name="tiny"),
    )
    request.getfixturevalue("small_files")
    with pytest.raises(UserError, match=r"--out .*/model cannot be written: .*File too large"):
        save_model_folder(result, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]
