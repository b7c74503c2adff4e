"""A training in the middle, as one file: resumed, it gives the numbers of a straight run.

It holds weights, optimiser, best epoch, the metrics of all epochs so far, and what it belongs to;
it is read with `weights_only` (DESIGN D15), and appears complete or not at all.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Final

import torch

from trainable.device import is_out_of_memory
from trainable.errors import UserError

if TYPE_CHECKING:  # the driver, which trains nothing, asks for paths alone
    from trainable.loop import TrainingSession

_DAMAGE: Final = (OSError, RuntimeError, UnpicklingError, EOFError)
_MISFIT: Final = (RuntimeError, ValueError, KeyError, TypeError, AttributeError)


def checkpoint_path(folder: Path, number: int) -> Path:
    """Where the checkpoint of trial `number` lies, if it has one."""
    return folder / f"trial-{number:05d}.pt"


def unfinished_path(path: Path) -> Path:
    """Where the checkpoint `path` is while it is written."""
    return path.with_suffix(".tmp")


def claim_checkpoint(folder: Path, number: int, resumes: Sequence[int]) -> Path | None:
    """The checkpoint that trial `number` goes on from; None: there is none.

    Args:
        folder: of the checkpoints.
        number: of the trial; its own checkpoint comes first.
        resumes: the interrupted trials that it runs again, the latest first. Their checkpoint
            becomes its own: there is one for each training, however often it is interrupted.
    """
    own = checkpoint_path(folder, number)
    for path in (own, *(checkpoint_path(folder, other) for other in resumes)):
        if path.exists():
            return path.replace(own)
    return None


def save_checkpoint(
    session: "TrainingSession", path: Path, metrics: Sequence[Mapping[str, float]]
) -> None:
    """Write the state of `session` to `path`, in place of an older checkpoint.

    Args:
        session: after a whole number of epochs.
        path: its folder is made if it does not exist.
        metrics: what each epoch so far gave, in order.

    Raises:
        OSError: the folder cannot be written; an older checkpoint is still whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_path(path)
    content = {**session.state_dict(), **_identity(session), "metrics": [dict(m) for m in metrics]}
    try:
        torch.save(content, unfinished)
        unfinished.replace(path)
    except RuntimeError as error:  # so torch tells of a full disk
        raise OSError(f"{path} could not be written") from error
    finally:
        unfinished.unlink(missing_ok=True)


def load_checkpoint(session: "TrainingSession", path: Path) -> list[dict[str, float]]:
    """Put `session` where the saved one was.

    Returns:
        The metrics of each epoch so far.

    Raises:
        UserError: the checkpoint is missing, damaged, or of another config or other data; after
            that the session is of no use.
        RuntimeError, MemoryError: memory ran out (`is_out_of_memory`); the checkpoint may be good.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        _reraise_out_of_memory(error)
        # its own text may advise to unpickle the file freely
        what = type(error).__name__
        raise UserError(f"checkpoint {path} is damaged ({what}): start the trial anew") from error
    try:
        for what, expected in _identity(session).items():
            if state.pop(what) != expected:
                raise UserError(f"checkpoint {path} is of another {what}: start the trial anew")
        metrics = state.pop("metrics")
        session.load_state_dict(state)
    except _MISFIT as error:
        _reraise_out_of_memory(error)
        what = type(error).__name__
        raise UserError(f"checkpoint {path} does not fit ({what}): start the trial anew") from error
    return metrics


def _reraise_out_of_memory(error: Exception) -> None:
    if is_out_of_memory(error):
        raise error


def _identity(session: "TrainingSession") -> dict[str, Any]:
    """What a checkpoint belongs to."""
    return {"config": session.config.to_mapping(), "dataset": session.data.fingerprint}
