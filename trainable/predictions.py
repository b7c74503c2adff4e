"""What a model predicted for a split and what is true, sparse: all that its F1 scores come from.

Kept beside a test report, so that scores can be resampled and two models compared document by
document without running either again. An .npz without pickle; memory is that of the label ids.

Shapes: N documents, L labels, P pairs of a document and a label of it.
"""

import dataclasses
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from trainable.errors import UsageError, first_line

if TYPE_CHECKING:  # a summary reads predictions without torch
    from torch import Tensor

PREDICTIONS_FILE: Final = "test_predictions.npz"
MOST_PAIRS: Final = 2**27
"""A model that predicts more than this (half a GiB) has its predictions counted, not kept."""
_VERSION: Final = 1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LabelSets:
    """The labels of document n are `ids[offsets[n]:offsets[n+1]]`, ascending and distinct."""

    ids: npt.NDArray[np.int32]
    """[P]"""
    offsets: npt.NDArray[np.int64]
    """[N + 1]"""

    @classmethod
    def of(cls, labels: Sequence[Sequence[int]]) -> Self:
        """From the labels of each document."""
        flat = [label for row in labels for label in row]
        sizes = np.fromiter(map(len, labels), np.int64, len(labels))
        return cls(
            ids=np.asarray(flat, dtype=np.int32),
            offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def matrix(self, num_labels: int) -> sparse.csr_array:
        """[N, L] of 0.0 and 1.0."""
        ones = np.ones(len(self.ids))
        return sparse.csr_array((ones, self.ids, self.offsets), shape=(len(self), num_labels))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """Predicted and true labels of the same documents in the same order."""

    documents: tuple[str, ...]
    """[N] their ids in the data."""
    label_names: tuple[str, ...]
    groups: tuple[str, ...]
    """[L] head, medium or tail."""
    threshold: float
    """That the labels were predicted at."""
    predicted: LabelSets
    true: LabelSets

    def save(self, path: Path) -> None:
        """Write the file whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        head = {
            "version": _VERSION,
            "threshold": self.threshold,
            "label_names": self.label_names,
            "groups": self.groups,
            "documents": self.documents,
        }
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                np.savez_compressed(
                    file,
                    head=np.frombuffer(json.dumps(head).encode(), dtype=np.uint8),
                    predicted_ids=self.predicted.ids,
                    predicted_offsets=self.predicted.offsets,
                    true_ids=self.true.ids,
                    true_offsets=self.true.offsets,
                )
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; nothing in it is unpickled.

        Raises:
            UsageError: no such file, or not one of these.
        """
        try:
            # np.load leaves a file open that is no archive
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                found = cls._from(json.loads(file["head"].tobytes()), file)
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file; an evaluation on test writes it") from None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise UsageError(f"{path}: cannot be read ({first_line(error)})") from None
        found._check(path)
        return found

    @classmethod
    def _from(cls, head: dict[str, Any], file: Any) -> Self:
        if head["version"] != _VERSION:
            raise ValueError(f"version {head['version']}, this program reads {_VERSION}")
        return cls(
            documents=tuple(head["documents"]),
            label_names=tuple(head["label_names"]),
            groups=tuple(head["groups"]),
            threshold=float(head["threshold"]),
            predicted=LabelSets(ids=file["predicted_ids"], offsets=file["predicted_offsets"]),
            true=LabelSets(ids=file["true_ids"], offsets=file["true_offsets"]),
        )

    def _check(self, path: Path) -> None:
        for sets in (self.predicted, self.true):
            steps = np.diff(sets.offsets)
            whole = len(sets.offsets) == len(self.documents) + 1 and sets.offsets[0] == 0
            whole = whole and (steps >= 0).all() and sets.offsets[-1] == len(sets.ids)
            inside = not len(sets.ids) or (
                sets.ids.min() >= 0 and sets.ids.max() < len(self.label_names)
            )
            if not (whole and inside):
                raise UsageError(f"{path}: is damaged: its labels do not fit its documents")
        if len(self.groups) != len(self.label_names):
            raise UsageError(f"{path}: is damaged: a label without a group")


class PredictionsBuilder:
    """Collects label sets batch by batch."""

    def __init__(self) -> None:
        self._ids: list[npt.NDArray[np.int32]] = []
        self._sizes: list[npt.NDArray[np.int64]] = []
        self._pairs = 0

    def update(self, chosen_BL: "Tensor") -> None:
        """Add documents; bool, on the CPU."""
        if self._pairs > MOST_PAIRS:
            return
        ids = chosen_BL.nonzero()[:, 1].numpy().astype(np.int32)
        self._pairs += len(ids)
        self._ids.append(ids)
        self._sizes.append(chosen_BL.sum(dim=1).numpy())

    def result(self) -> LabelSets | None:
        """All label sets; None where there were too many labels to keep."""
        if self._pairs > MOST_PAIRS:
            return None
        sizes = np.concatenate([np.zeros(1, np.int64), *self._sizes])
        ids = np.concatenate([np.zeros(0, np.int32), *self._ids])
        return LabelSets(ids=ids, offsets=np.cumsum(sizes))
