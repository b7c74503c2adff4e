"""Where a candidate's run with one seed keeps its files: `confirm/trial-00003-seed-1/`.

Each run has weights and checkpoint to itself: in the search's folders only the best of all stays,
and here the mean decides. Weights are kept for the seed whose model may be exported; the losers'
go once the winner is scored.
"""

import contextlib
import dataclasses
import shutil
from pathlib import Path
from typing import Final, Self

from search.confirmation import Pair

CONFIRM_FOLDER: Final = "confirm"
"""In the folder of a search."""


@dataclasses.dataclass(frozen=True, slots=True)
class ConfirmFolder:
    """Of one run; need not exist."""

    path: Path

    @classmethod
    def of(cls, folder: Path, pair: Pair) -> Self:
        """The one of trial and seed in the search in `folder`."""
        return cls(folder / CONFIRM_FOLDER / f"trial-{pair[0]:05d}-seed-{pair[1]}")

    @property
    def weights(self) -> Path:
        """Where the weights of its best epoch lie."""
        return self.path / "weights"

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoint lies, while it is trained."""
        return self.path / "checkpoints"

    def drop(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def drop_checkpoints(self) -> None:
        """Delete what only an interrupted run needs, and the folder where nothing else is in it."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        with contextlib.suppress(OSError):  # it holds weights
            self.path.rmdir()

    def drop_stale(self) -> None:
        """Before it is trained from its first epoch: weights of a run that was cut off go."""
        if not any(self.checkpoints.glob("*.pt")):
            self.drop()


def drop_losers(folder: Path, winner: Pair) -> None:
    """Delete what all runs but the winner's have left.

    Args:
        folder: Of the search.
        winner: Trial and seed.
    """
    kept = ConfirmFolder.of(folder, winner).path
    for path in (folder / CONFIRM_FOLDER).glob("trial-*"):
        if path != kept:
            ConfirmFolder(path).drop()
