"""Features on a CPU with all its cores: one process with one thread on each.

Two one-thread processes took 160 s of the two cores for Reuters; one process with two threads
spends more than twice that, much of it waiting at barriers.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from trainable.allocator import allocator_environment
from trainable.encoded import EncodedSplit
from trainable.errors import UserError
from trainable.extractor import Extractor

_worker: Extractor | None = None
"""Of a process of the pool; the process that owns the pool has none."""

_MOST_PROCESSES: Final = 16
"""Each takes about a GiB."""


def extract(
    encoder: str, precision: str, parts: Sequence[EncodedSplit], *, processes: int | None = None
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """The features of all `parts`, as they come: `(index of the part, features [B, F])`.

    Args:
        encoder: as for `Extractor`, with `precision`.
        precision: `bf16` or `fp32`.
        parts: documents from short to long in each; the first ones are begun first.
        processes: None: one for each core that this process may use.

    Raises:
        UserError: a process died.
    """
    count = processes or min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    context = multiprocessing.get_context("spawn")
    with _environment({**allocator_environment(os.environ), "OMP_NUM_THREADS": "1"}):
        pool = ProcessPoolExecutor(
            min(count, len(parts)), context, initializer=_begin, initargs=(encoder, precision)
        )
        futures = {pool.submit(_extract, part): index for index, part in enumerate(parts)}
    try:
        for future in as_completed(futures):
            yield futures[future], _result(future)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result(future: Future[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    try:
        return future.result()
    except BrokenProcessPool:
        raise UserError(
            "a process that computed features died, most likely because memory ran out: close "
            "other programs, or take a smaller encoder or --set max_length=128"
        ) from None


def _begin(encoder: str, precision: str) -> None:
    global _worker  # noqa: PLW0603 - what a pool's process holds
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's to handle
    threading.Thread(target=_die_with_owner, daemon=True).start()
    torch.set_num_threads(1)
    _worker = Extractor(encoder, device=torch.device("cpu"), precision=precision, pad_id=0)


def _die_with_owner() -> None:
    """A process whose owner was killed would wait for work for ever."""
    owner = multiprocessing.parent_process()
    assert owner is not None
    wait([owner.sentinel])
    os._exit(1)


def _extract(part: EncodedSplit) -> npt.NDArray[np.float32]:
    assert _worker is not None
    return _worker(part)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """What processes started within inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
