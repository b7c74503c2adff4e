"""Which checkpoints a search keeps: one for each training that runs or was interrupted.

Trials write them, and take over those of the trials that they run again; only the driver, which
knows that a trial is over and not just interrupted, deletes them.
"""

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

CHECKPOINTS_FOLDER: Final = "checkpoints"
"""In the folder of a search."""


def has_checkpoint(folder: Path, number: int) -> bool:
    """Whether a trial of the search in `folder` has a checkpoint."""
    from trainable.checkpoint import checkpoint_path

    return checkpoint_path(folder / CHECKPOINTS_FOLDER, number).exists()


def drop_checkpoint(folder: Path, number: int) -> None:
    """Delete the checkpoint of a trial that is over, and what a killed worker left of another.

    Args:
        folder: Of the search.
        number: Of the trial.
    """
    from trainable.checkpoint import checkpoint_path, unfinished_path

    path = checkpoint_path(folder / CHECKPOINTS_FOLDER, number)
    for file in (path, unfinished_path(path)):
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def drop_stale_checkpoints(folder: Path, wanted: Collection[int]) -> None:
    """Delete all but the checkpoints of some trials, half-written ones too; nobody trains now.

    Args:
        folder: Of the search.
        wanted: Numbers of the trials that will go on.
    """
    from trainable.checkpoint import checkpoint_path

    checkpoints = folder / CHECKPOINTS_FOLDER
    kept = {checkpoint_path(checkpoints, number) for number in wanted}
    for path in checkpoints.glob("trial-*"):
        if path not in kept:
            with contextlib.suppress(OSError):
                path.unlink()
