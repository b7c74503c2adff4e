"""Features on a CPU with all its cores: one process with one thread on each.

Two one-thread processes took 160 s of the two cores for Reuters; one process with two threads
spends more than twice that, much of it waiting at barriers.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from trainable.allocator import allocator_environment, inherited
from trainable.child_environment import without_secrets
from trainable.encoded import EncodedSplit
from trainable.errors import UserError
from trainable.extractor import Extractor

MEMORY_ADVICE: Final = "close other programs, or take a smaller encoder or --set max_length=128"
"""What to do where memory ran out."""

_MOST_PROCESSES: Final = 16
"""Unless the caller knows better: each takes about a GiB."""


def extract(
    encoder: str, precision: str, parts: Sequence[EncodedSplit], *, processes: int | None = None
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """The features of all `parts`, as they come: `(index of the part, features [B, F])`.

    Whoever stops before the last part closes the iterator: that ends the processes at once.

    Args:
        encoder: as for `Extractor.load`, with `precision`.
        precision: `bf16` or `fp32`.
        parts: at least one; documents from short to long in each; the first are begun first.
        processes: None: one for each core that this process may use, 16 at most.

    Raises:
        UsageError: the encoder cannot be read.
        UserError: a process died.
    """
    count = processes or min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    others = multiprocessing.active_children()
    # before Ctrl-C is held back: it starts multiprocessing's resource tracker, which lets it in.
    # Of one process each: Python's pool loses track if a process dies while it starts another
    pools = [
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_begin)
        for _ in range(min(count, len(parts)))
    ]
    try:
        yield from _run(pools, [(encoder, precision, part) for part in parts])
    except BaseException as error:
        for child in set(multiprocessing.active_children()).difference(others):
            child.terminate()  # nobody wants the parts that are left
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "a process that computed features died, most likely because memory ran out: "
                f"{MEMORY_ADVICE}"
            ) from None
        raise
    finally:
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _run(
    pools: Sequence[ProcessPoolExecutor], tasks: Sequence[tuple[str, str, EncodedSplit]]
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """What `_extract` gives for each task, as it comes; a process has one task at a time."""
    left = enumerate(tasks)
    running: dict[Future[npt.NDArray[np.float32]], tuple[int, ProcessPoolExecutor]] = {}

    def begin(free: Sequence[ProcessPoolExecutor]) -> None:
        for pool, (index, task) in zip(free, left, strict=False):
            running[pool.submit(_extract, *task)] = index, pool

    changes = {**without_secrets(os.environ), **allocator_environment(os.environ)}
    with inherited({**changes, "OMP_NUM_THREADS": "1"}), ctrl_c_held_back():
        begin(pools)
    while running:
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            index, pool = running.pop(future)
            features_BF = future.result()
            begin([pool])
            yield index, features_BF


def _begin() -> None:
    threading.Thread(target=_die_with_owner, daemon=True).start()
    torch.set_num_threads(1)


def _die_with_owner() -> None:
    """A process whose owner was killed would wait for work for ever."""
    owner = multiprocessing.parent_process()
    assert owner is not None
    owner.join()
    os._exit(1)


def _extract(encoder: str, precision: str, part: EncodedSplit) -> npt.NDArray[np.float32]:
    return _extractor(encoder, precision)(part)


@functools.cache
def _extractor(encoder: str, precision: str) -> Extractor:
    """Of a process of the pool. Built with the first part, whose future tells of its errors."""
    return Extractor.load(encoder, device=torch.device("cpu"), precision=precision, pad_id=0)


@contextlib.contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """Processes started within never see Ctrl-C, which is their owner's; it sees it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
