"""The best weights of a trial: copied to memory once Tune has noted their epoch, written later.

A file of BERT-base takes a second to write, an epoch of it on a good GPU 1.5 s, and only one file
of a search is ever read (DESIGN D10). So an epoch pays for a copy in memory alone (0.04 s), and
only if no better weights are on disk. The file is written once the copy has stood for some seconds
(epochs take minutes), or when the trial ends (they take seconds).
"""

import dataclasses
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from trainable.device import is_out_of_memory
from trainable.errors import first_line, one_line
from trainable.weights import best_objective, keep_if_best

WRITE_AFTER_S: Final = 5.0
"""Less than the 10 s that Tune gives the actors of a search that is over."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BestCopy:
    """Whose weights are in memory."""

    weights_dir: Path
    number: int
    """Of the trial."""
    objective: float
    epoch: int
    threshold: float


class BestWeights:
    """Host memory for the weights of one model, reused from epoch to epoch and trial to trial.

    What cannot be copied or written is logged, and lost: weights only save work (the winner's are
    trained again).
    """

    def __init__(self, *, write_after_s: float = WRITE_AFTER_S) -> None:
        self._write_after_s = write_after_s
        self._buffers: dict[str, Tensor] = {}
        self._unwritten: BestCopy | None = None
        self._lock = threading.Lock()
        """Held while the buffers are filled or written."""
        self._timer: threading.Timer | None = None

    def take(self, copy: BestCopy, state: Mapping[str, Tensor]) -> None:
        """Copy `state` if no better weights are on disk; a later epoch of a trial takes its place.

        Args:
            copy: What they are.
            state: The model's state dict, on any device; free to change afterwards.
        """
        if copy.objective < best_objective(copy.weights_dir):
            return
        waiting = self._unwritten
        if waiting is not None and waiting.number != copy.number:
            self.flush()
        with self._lock:
            if not self._fill(copy, state):
                self._unwritten = None  # an earlier epoch's are overwritten in part
                return
            self._unwritten = copy
        self._write_in(self._write_after_s)

    def write_soon(self) -> None:
        """Begin to write what is not written yet, without waiting for it."""
        if self._unwritten is not None:
            self._write_in(0.0)

    def flush(self) -> None:
        """Return when all is written; no thread is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
            self._timer = None
        self._write()

    def release(self) -> None:
        """Write what is not written yet, and give the memory back."""
        try:
            self.flush()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            _log.warning("no memory to write the best weights: %s", first_line(error))
        self._buffers.clear()

    def _write_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, self._write)
        self._timer.daemon = True
        self._timer.start()

    def _write(self) -> None:
        with self._lock:
            copy, self._unwritten = self._unwritten, None
            if copy is None:
                return
            try:
                keep_if_best(
                    copy.weights_dir,
                    copy.number,
                    objective=copy.objective,
                    epoch=copy.epoch,
                    threshold=copy.threshold,
                    state=self._buffers,
                )
            except OSError as error:
                _log.warning(
                    "cannot keep the weights of trial %d: %s", copy.number, one_line(error)
                )

    def _fill(self, copy: BestCopy, state: Mapping[str, Tensor]) -> bool:
        """Whether there was memory for it."""
        try:
            self._copy(state)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._buffers.clear()
            _log.warning(
                "no memory for the weights of trial %d: %s", copy.number, first_line(error)
            )
            return False
        return True

    def _copy(self, state: Mapping[str, Tensor]) -> None:
        for name in self._buffers.keys() - state.keys():
            del self._buffers[name]
        for name, tensor in state.items():
            buffer = self._buffers.get(name)
            if buffer is None or (buffer.shape, buffer.dtype) != (tensor.shape, tensor.dtype):
                buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
                self._buffers[name] = buffer
            buffer.copy_(tensor.detach())
