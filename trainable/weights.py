"""The best model weights of a search, kept on disk until the test evaluation.

One file per trial that may still win; what is strictly below the best is deleted, so that a search
keeps about one model, whatever the number of its trials (DESIGN D10). Several processes may write
at once: every file is its own trial's, and appears complete or not at all; nobody prunes while
somebody else puts a file in place.
"""

import contextlib
import dataclasses
import fcntl
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class KeptEpoch:
    """Which epoch a weights file is of."""

    epoch: int
    """Counted from 1."""
    objective: float


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
    if objective < best_objective(weights_dir):
        return None
    path = weights_path(weights_dir, number)
    unfinished = path.with_suffix(".tmp")
    metadata = {
        "format": "pt",
        "objective": repr(float(objective)),
        "epoch": str(epoch),
        "threshold": repr(float(threshold)),
    }
    try:
        save_tensors(state, unfinished, metadata)
        with _locked(weights_dir):
            if objective < best_objective(weights_dir):  # somebody has written a better one
                return None
            unfinished.replace(path)
            _prune(weights_dir)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def best_objective(weights_dir: Path) -> float:
    """Of the best weights on disk; minus infinity without any."""
    return max(_recorded(weights_dir).values(), default=-math.inf)


def prune_weights(weights_dir: Path) -> None:
    """Delete the files strictly below the best, and those that cannot be read."""
    if weights_dir.is_dir():
        with _locked(weights_dir):
            _prune(weights_dir)


def kept_epoch(path: Path) -> KeptEpoch | None:
    """Which epoch the weights in `path` are of; None: there are none, or they cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            return KeptEpoch(epoch=int(metadata["epoch"]), objective=float(metadata["objective"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def drop_stale(
    weights_dir: Path, wanted: Mapping[int, KeptEpoch], *, number: int | None = None
) -> None:
    """Delete the files that hold anything but the wanted epoch of their trial.

    Args:
        weights_dir: need not exist.
        wanted: by trial number.
        number: the only trial to look at; None: all, half-written files too. Nobody may be
            training then.
    """
    if not weights_dir.is_dir():
        return
    by_path = {weights_path(weights_dir, trial): epoch for trial, epoch in wanted.items()}
    with _locked(weights_dir):
        if number is None:
            found = [*_files(weights_dir), *weights_dir.glob("trial-*.tmp")]
        else:
            found = [weights_path(weights_dir, number)]
        for path in found:
            kept = kept_epoch(path)
            if kept is None or kept != by_path.get(path):
                path.unlink(missing_ok=True)


def save_tensors(state: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a state dict, on any device, as a safetensors file.

    Raises:
        OSError: the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:  # so it tells of a full disk
        raise OSError(str(error)) from error


@contextlib.contextmanager
def _locked(weights_dir: Path) -> Iterator[None]:
    with (weights_dir / ".lock").open("a") as file:
        # a file system without locks: the race is rare, and whoever needs a lost file trains again
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prune(weights_dir: Path) -> None:
    recorded = _recorded(weights_dir)
    best = max(recorded.values(), default=-math.inf)
    for path, objective in recorded.items():
        if objective < best:
            path.unlink(missing_ok=True)


def _recorded(weights_dir: Path) -> dict[Path, float]:
    found = {path: kept_epoch(path) for path in _files(weights_dir)}
    return {path: kept.objective if kept else -math.inf for path, kept in found.items()}


def _files(weights_dir: Path) -> list[Path]:
    return sorted(weights_dir.glob("trial-*.safetensors"))
