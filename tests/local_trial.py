"""A trial as Tune makes it, in this process, and what its results are compared with."""

import math

import torch

from tests.tiny import tiny_encoded
from trainable.config import BEST_OBJECTIVE, TrialConfig
from trainable.loop import TrainingSession
from trainable.trial import FineTuneTrial

DATA = tiny_encoded()


class LocalTrial(FineTuneTrial):
    """As Tune makes it with `with_parameters`, without Ray."""

    def setup(self, config):
        super().setup(config, DATA)


KEYS = ("epoch", "train/loss", "val/loss", "val/micro_f1", "val/threshold", BEST_OBJECTIVE)


def numbers(result):
    return {key: result[key] for key in KEYS}


def straight(ray_config, **settings):
    session = TrainingSession(TrialConfig(**ray_config(**settings)["config"]), DATA)
    return [numbers(session.run_epoch()) for _ in range(session.config.epochs)]


def clone(trial):
    return {name: tensor.clone() for name, tensor in trial._session.model.state_dict().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def saving(tmp_path, every=1, **more):
    return {"checkpoints_dir": str(tmp_path / "checkpoints"), "checkpoint_every": every, **more}


def interrupted(trial_of, tmp_path, epochs=2, **more):
    """The results of a trial 1 that somebody kills after some epochs."""
    trial = trial_of(number=1, epochs=4, **saving(tmp_path, **more))
    return [trial.train() for _ in range(epochs)]


def strip(result):
    """A result without what Ray adds."""
    return {k: v for k, v in result.items() if "/" in k or k in ("epoch", "done", "note")}


def ended(result, status):
    assert result["done"] is True
    assert result["end_status"] == status
    assert not any(isinstance(v, float) and math.isnan(v) for v in result.values())
    assert not any(key.startswith(("train/", "val/")) for key in result)
    return result


def poison(trial):
    trial._session._step._loss = lambda logits, _targets: logits.sum() * math.nan
