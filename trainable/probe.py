"""What a trial takes on this device, measured on real steps: seconds an epoch, memory.

Runs in processes of their own, one for each trial that will run at once (`serve`): the driver keeps
no CUDA context and no torch memory, trials side by side are timed side by side, and a process that
the kernel kills for want of memory is an answer, not the end.

    the longest documents, two steps -> peak memory
    documents of evenly spaced lengths, a few steps, and as many to validate -> seconds

What was traded away: a few steps cannot show how far the heap of a long training creeps up.
"""

import contextlib
import dataclasses
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np
import torch

from trainable.batching import Indices
from trainable.config import TrialConfig
from trainable.device import is_out_of_memory, pick_device
from trainable.divergence import DivergedError
from trainable.encoded import EncodedDataset, EncodedSplit
from trainable.errors import UserError, first_line
from trainable.loop import TrainingSession

_LEARNING_RATE: Final = 1e-7
"""Costs the same as any other and cannot diverge."""
_MOST_PASSES: Final = 8
_KILL_ME_FIRST: Final = "1000"
"""The highest oom_score_adj."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """Of one process."""

    train_docs_per_s: float
    val_docs_per_s: float
    memory_bytes: int
    """Peak: of the process, imports included (CPU), or what torch held of the GPU's memory."""
    memory_total: int
    """Of the GPU; 0 on a CPU."""
    device: str
    """`cpu` or `cuda`."""
    precision: str
    """`bf16` or `fp32`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """Why a process has nothing to tell."""

    reason: str
    out_of_memory: bool
    memory_bytes: int = 0
    """Taken until then."""
    memory_total: int = 0


def longest_documents(data: EncodedDataset, batch_size: int) -> EncodedDataset:
    """A batch of the longest documents (a loss needs two), and as many to validate."""
    count = max(2, batch_size)
    return _subset(data, lambda split: np.argsort(split.lengths, kind="stable")[-count:])


def fair_documents(data: EncodedDataset, count: int) -> EncodedDataset:
    """`count` documents to train on, and as many to validate, at evenly spaced ranks of length."""

    def pick(split: EncodedSplit) -> Indices:
        order = np.argsort(split.lengths, kind="stable")
        if count >= len(split):
            return order
        return order[((np.arange(count) + 0.5) * len(split) / count).astype(np.int64)]

    return _subset(data, pick)


class Probe:
    """Takes the measurements of one process, in this one."""

    def __init__(self, config: TrialConfig) -> None:
        self._config = config.replace(
            epochs=_MOST_PASSES, learning_rate=_LEARNING_RATE, warmup_fraction=0.0
        )
        self._device = pick_device()
        self._session: TrainingSession | None = None

    def longest(self, data: EncodedDataset) -> float:
        """Train on `longest_documents`, twice; documents a second of the second time.

        The first has imports and set-up in it (3 s of a head's), and the second the most memory:
        the optimiser's moments beside a step.
        """
        session = self._begin(data)
        session.run_epoch()
        return session.run_epoch()["time/train_docs_per_s"]

    def fair(self, data: EncodedDataset, seconds: float) -> Timed:
        """Time epochs of `fair_documents` for about so many seconds, at least one of them."""
        session = self._begin(data)
        started = time.perf_counter()
        passes: list[tuple[float, float]] = []
        while len(passes) < _MOST_PASSES:
            metrics = session.run_epoch()
            train_s = len(data.train) / metrics["time/train_docs_per_s"]
            passes.append((train_s, metrics["time/epoch_s"] - train_s))
            spent = time.perf_counter() - started
            if spent + spent / len(passes) > seconds:
                break
        warm = passes[1:] or passes
        train_s, val_s = (statistics.median(column) for column in zip(*warm, strict=True))
        memory, total = self.memory()
        return Timed(
            train_docs_per_s=len(data.train) / train_s,
            val_docs_per_s=len(data.val) / val_s,
            memory_bytes=memory,
            memory_total=total,
            device=self._device.type,
            precision=session.precision,
        )

    def memory(self) -> tuple[int, int]:
        """Peak so far, and all that the device has (0: a CPU); bytes."""
        if self._device.type == "cuda":
            total = torch.cuda.get_device_properties(self._device).total_memory
            return torch.cuda.max_memory_reserved(self._device), total
        return peak_memory(), 0

    def _begin(self, data: EncodedDataset) -> TrainingSession:
        model = None if self._session is None else self._session.model
        self._session = None
        self._session = TrainingSession(self._config, data, device=self._device, reuse=model)
        return self._session


def serve(pipe: Connection, config: TrialConfig, data: EncodedDataset) -> None:
    """The life of one process.

    Sends documents a second of the longest ones, receives `(fair documents, seconds)`, sends
    `Timed`; in place of either, `Refused`, which is the last.

    Args:
        pipe: to the owner.
        config: the trial to measure; `mu` explicit.
        data: `longest_documents`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner's to answer
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILL_ME_FIRST)
    probe = Probe(config)
    with contextlib.suppress(EOFError, BrokenPipeError):  # nobody wants to know any more
        try:
            pipe.send(probe.longest(data))
            pipe.send(probe.fair(*pipe.recv()))
        except (RuntimeError, MemoryError, UserError, DivergedError) as error:
            lost = is_out_of_memory(error)
            memory, total = probe.memory()
            pipe.send(
                Refused(
                    reason=first_line(error),
                    out_of_memory=lost,
                    memory_bytes=memory,
                    memory_total=total,
                )
            )


def peak_memory() -> int:
    """The most resident memory that this process has had; bytes.

    Not `ru_maxrss` where it can be helped: that begins with what the parent had.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _subset(data: EncodedDataset, pick: Callable[[EncodedSplit], Indices]) -> EncodedDataset:
    return dataclasses.replace(
        data,
        train=data.train.take(pick(data.train)),
        val=data.val.take(pick(data.val)),
        test=data.test.take(np.arange(0)),
    )
