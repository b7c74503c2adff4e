"""Trials of tiny models, for all tests of the Ray side of a trial."""

from pathlib import Path

import pytest

from tests.local_trial import LocalTrial
from tests.tiny import tiny_encoder
from trainable.config import TrialConfig


@pytest.fixture(scope="session")
def trial_encoder(tmp_path_factory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def ray_config(trial_encoder):
    def build(number=0, weights_dir=None, **settings):
        names = ("checkpoints_dir", "checkpoint_every", "resumes", "halved")
        checkpoints = {name: settings.pop(name) for name in names if name in settings}
        values = {"dataset": "tiny", "encoder": str(trial_encoder), "max_length": 32, "epochs": 2}
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
