"""The loss curve of a tiny CPU run, number by number: a refactor must reproduce it.

Float32, one thread, dropout on: the curve depends on the initial head, the order of the documents,
the dropout masks, the losses and the optimiser. `golden_curve.json` was written by this code:

    UPDATE_GOLDEN=1 python -m pytest tests/trainable/test_golden_curve.py

which is legitimate only where a change of the numbers is the aim (another stream of dropout masks,
another order, another initial head) and the CHANGELOG says so: retraining gives other numbers then.
A change that only moves or speeds up code must pass as it is. The tolerance leaves room for another
order of summation, as on a CPU with other vector instructions.
"""

import json
import os
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_encoded, tiny_encoder
from trainable.config import TrialConfig
from trainable.loop import TrainingSession

GOLDEN = Path(__file__).with_name("golden_curve.json")
RELATIVE = 1e-5
CURVES = {
    "bce": {"loss": "bce"},
    "db": {"loss": "db", "lr_schedule": "linear", "warmup_fraction": 0.25, "max_grad_norm": 1.0},
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(tiny_encoder(tmp_path_factory.mktemp("encoder")))


def curve(encoder, **changes):
    settings = {
        "dataset": "tiny",
        "max_length": 32,
        "batch_size": 8,
        "epochs": 3,
        "learning_rate": 1e-3,
        "dropout": 0.2,
        "attention_dropout": 0.1,
        "precision": "fp32",
        "num_threads": 1,
        "seed": 7,
    }
    config = TrialConfig(encoder=encoder, **{**settings, **changes})
    session = TrainingSession(config, tiny_encoded(), device=torch.device("cpu"))
    epochs = [session.run_epoch() for _ in range(3)]
    names = ("train/loss", "val/loss", "val/micro_f1", "val/macro_f1", "val/threshold")
    parameters = session.model.parameters()
    norm = torch.stack([p.detach().double().square().sum() for p in parameters]).sum().sqrt()
    return {**{name: [epoch[name] for epoch in epochs] for name in names}, "norm": norm.item()}


@pytest.mark.parametrize("name", CURVES)
def test_the_curve_is_reproduced(encoder, name):
    found = curve(encoder, **CURVES[name])
    if os.environ.get("UPDATE_GOLDEN"):
        golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        GOLDEN.write_text(json.dumps({**golden, name: found}, indent=1) + "\n")
    golden = json.loads(GOLDEN.read_text())[name]
    assert found.keys() == golden.keys()
    for key, expected in golden.items():
        assert found[key] == pytest.approx(expected, rel=RELATIVE), key


@pytest.mark.parametrize("change", [{"weight_decay": 0.05}, {"dropout": 0.21}, {"seed": 8}])
def test_the_curve_would_notice(encoder, change):
    golden = json.loads(GOLDEN.read_text())["bce"]
    found = curve(encoder, **{"loss": "bce", **change})
    assert found["train/loss"] != pytest.approx(golden["train/loss"], rel=RELATIVE)
