"""The best model weights of a search, kept on disk until the test evaluation.

One file per trial that may still win; what is strictly below the best is deleted, so that a search
keeps about one model, whatever the number of its trials (DESIGN D10). Several processes may write
at once: every file is its own trial's, and appears complete or not at all.
"""

import math
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def weights_path(weights_dir: Path, number: int) -> Path:
    """Where the weights of trial `number` lie, if they were kept."""
    return weights_dir / f"trial-{number:05d}.safetensors"


def keep_if_best(
    weights_dir: Path,
    number: int,
    *,
    objective: float,
    epoch: int,
    threshold: float,
    state: Mapping[str, Tensor],
) -> Path | None:
    """Write the weights of a trial's best epoch if no trial has better ones, and prune.

    Ties are kept: which of the trials wins is decided elsewhere.

    Args:
        weights_dir: made if it does not exist.
        number: of the trial; an older file of it is replaced.
        objective: of that epoch, finite; written into the file's metadata, with the next two.
        epoch: counted from 1.
        threshold: in (0, 1).
        state: the model's state dict, on any device.

    Returns:
        The file, or None if a better one exists.

    Raises:
        OSError: the folder cannot be written.
    """
    weights_dir.mkdir(parents=True, exist_ok=True)
    if objective < max(_recorded(weights_dir).values(), default=-math.inf):
        return None
    path = weights_path(weights_dir, number)
    unfinished = path.with_suffix(".tmp")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    metadata = {
        "format": "pt",
        "objective": repr(float(objective)),
        "epoch": str(epoch),
        "threshold": repr(float(threshold)),
    }
    try:
        save_file(tensors, unfinished, metadata=metadata)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    prune_weights(weights_dir)
    return path


def prune_weights(weights_dir: Path) -> None:
    """Delete the files strictly below the best, and those that cannot be read."""
    recorded = _recorded(weights_dir)
    best = max(recorded.values(), default=-math.inf)
    for path, objective in recorded.items():
        if objective < best:
            path.unlink(missing_ok=True)


def _recorded(weights_dir: Path) -> dict[Path, float]:
    return {path: _objective(path) for path in sorted(weights_dir.glob("trial-*.safetensors"))}


def _objective(path: Path) -> float:
    try:
        with safe_open(path, framework="pt") as file:
            return float(file.metadata()["objective"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return -math.inf
