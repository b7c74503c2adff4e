"""A training in the middle, as files: resumed, it gives the numbers of a straight run.

    model.safetensors    the weights
    training.pt          optimiser, epoch, best epoch, what they belong to; read with weights_only

`training.pt` is written last and names the epoch of the weights beside it: a checkpoint whose
writing was cut off is refused, never half loaded.
"""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from trainable.errors import UserError
from trainable.loop import TrainingSession

_WEIGHTS: Final = "model.safetensors"
_TRAINING: Final = "training.pt"
_DAMAGE: Final = (OSError, RuntimeError, UnpicklingError, SafetensorError, KeyError, EOFError)


def save_checkpoint(session: TrainingSession, folder: Path) -> None:
    """Write the state of `session` into `folder`, over an older checkpoint if there is one.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = session.state_dict()
    weights = {name: tensor.contiguous() for name, tensor in state.pop("model").items()}
    unfinished = folder / f"{_WEIGHTS}.tmp"
    save_file(weights, unfinished, metadata={"format": "pt", "epoch": str(session.epoch)})
    unfinished.replace(folder / _WEIGHTS)
    unfinished = folder / f"{_TRAINING}.tmp"
    torch.save({**state, **_identity(session)}, unfinished)
    unfinished.replace(folder / _TRAINING)


def load_checkpoint(session: TrainingSession, folder: Path) -> None:
    """Put `session` where the saved one was.

    Raises:
        UserError: the checkpoint is missing, damaged, or of another config or other data.
    """
    try:
        weights = load_file(folder / _WEIGHTS)
        with safe_open(folder / _WEIGHTS, framework="pt") as file:
            epoch = int(file.metadata()["epoch"])
        state = torch.load(folder / _TRAINING, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        # its own text may advise to unpickle the file freely
        what = type(error).__name__
        raise UserError(f"checkpoint {folder} is damaged ({what}): start the trial anew") from error
    if state["epoch"] != epoch:
        raise UserError(
            f"checkpoint {folder} is damaged (weights of epoch {epoch}, optimiser of epoch "
            f"{state['epoch']}): start the trial anew"
        )
    for what, expected in _identity(session).items():
        if state.pop(what) != expected:
            raise UserError(f"checkpoint {folder} is of another {what}: start the trial anew")
    session.load_state_dict({**state, "model": weights})


def _identity(session: TrainingSession) -> dict[str, Any]:
    """What a checkpoint belongs to."""
    return {"config": session.config.to_mapping(), "dataset": session.data.fingerprint}
