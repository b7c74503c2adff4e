"""What a trial of a search takes on this machine: the processes of `trainable.probe`, side by side.

Trials share memory bandwidth, and a CPU its turbo: so as many processes are timed at once as trials
will run at once. On a GPU it is one: what shares it is not known before it runs.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, Self

from search.spec import SearchSpec
from trainable.allocator import allocator_environment, inherited
from trainable.child_environment import without_secrets
from trainable.config import TrialConfig
from trainable.encoded import EncodedDataset
from trainable.errors import UserError

_MOST_PROCESSES: Final = 8
_FEWEST_STEPS: Final = 2
_MOST_STEPS: Final = 64
_HEAVY: Final = ("epochs", "max_length", "batch_size", "head_hidden")
"""Settings that time and memory grow with."""
_KILLED: Final = "the system killed the process, as it does where memory runs out"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """What was measured of the heaviest trial of a search."""

    device: str
    """`cpu` or `cuda`."""
    precision: str
    """`bf16` or `fp32`."""
    at_once: int
    """Trials that were timed side by side."""
    epoch_s: float
    """Training and validation of one trial's epoch, seconds on the wall."""
    memory_bytes: int
    """Peak of one trial: of its process (CPU), or of the GPU's memory."""
    memory_total: int
    """Of the GPU; 0 on a CPU."""
    measured_at: float
    """Unix seconds."""
    busy: bool
    """Others were using more than half of the machine's cores just before."""

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`.

        Raises:
            TypeError: another set of fields.
        """
        return cls(**values)


class OutOfMemoryError(UserError):
    """A trial does not fit."""

    def __init__(self, reason: str, *, at_once: int, memory_bytes: int, memory_total: int) -> None:
        super().__init__(reason)
        self.at_once, self.memory_bytes = at_once, memory_bytes
        self.memory_total = memory_total


class ProbeError(UserError):
    """Nothing could be measured; one line says why."""


def heaviest(spec: SearchSpec) -> TrialConfig:
    """The configuration with the most epochs, word pieces, documents a step and units of a head."""
    ends: dict[str, Any] = {}
    for dimension in spec.space.dimensions:
        values: tuple[Any, ...] = dimension.choices or (dimension.high,)
        if dimension.name in _HEAVY:
            ends[dimension.name] = max(values)
    return spec.config.replace(**ends)


def probe(
    spec: SearchSpec,
    data: EncodedDataset,
    *,
    seconds: float,
    timeout_s: float,
    target: Callable[..., None] | None = None,
) -> Probed:
    """Measure the heaviest trial of a search, in processes that are gone when this returns.

    Args:
        spec: with mu.
        data: what it trains on, with features for heads.
        seconds: of timed steps; starting processes and the longest documents come on top.
        timeout_s: of all of it.
        target: The life of a process; None: `trainable.probe.serve`.

    Raises:
        OutOfMemoryError: memory ran out.
        ProbeError: it took too long, or a process failed otherwise.
    """
    from trainable.probe import fair_documents, longest_documents, serve

    config = heaviest(spec)
    data = data.truncated(config.max_length)
    count = 1 if spec.gpus_per_trial else min(spec.max_concurrent, _MOST_PROCESSES)
    longest = longest_documents(data, config.batch_size)
    deadline = time.monotonic() + timeout_s
    busy = os.getloadavg()[0] > len(os.sched_getaffinity(0)) / 2
    with _Processes(target or serve, (config, longest), spec, count) as processes:
        rates: list[float] = processes.answers(deadline)
        steps = int(seconds / 2 * min(rates) / config.batch_size)
        steps = min(max(steps, _FEWEST_STEPS), _MOST_STEPS)
        fair = fair_documents(data, max(2, steps * config.batch_size))
        processes.tell((fair, seconds))
        timed = processes.answers(deadline)
    mean = sum(
        len(data.train) / each.train_docs_per_s + len(data.val) / each.val_docs_per_s
        for each in timed
    ) / len(timed)
    return Probed(
        device=timed[0].device,
        precision=timed[0].precision,
        at_once=count,
        epoch_s=mean,
        memory_bytes=max(each.memory_bytes for each in timed),
        memory_total=timed[0].memory_total,
        measured_at=time.time(),
        busy=busy,
    )


class _Processes:
    """Children that each serve one pipe; a context manager that ends them."""

    def __init__(
        self, target: Callable[..., None], arguments: tuple[Any, ...], spec: SearchSpec, count: int
    ) -> None:
        # imports torch, as the caller does
        from trainable.feature_pool import ctrl_c_held_back

        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._children: list[BaseProcess] = []
        with inherited(_environment(spec)), ctrl_c_held_back():
            for _ in range(count):
                ours, theirs = context.Pipe()
                child = context.Process(target=target, args=(theirs, *arguments), daemon=True)
                child.start()
                theirs.close()
                self._pipes.append(ours)
                self._children.append(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.kill()
        for pipe, child in zip(self._pipes, self._children, strict=True):
            pipe.close()
            child.join()
            child.close()

    def tell(self, what: Any) -> None:
        """Send all of them the same."""
        for pipe in self._pipes:
            with contextlib.suppress(BrokenPipeError):  # told when it does not answer
                pipe.send(what)

    def answers(self, deadline: float) -> list[Any]:
        """One answer of each, in any order."""
        return [self._checked(answer) for answer in self._received(deadline)]

    def _received(self, deadline: float) -> Iterator[Any]:
        waiting = list(self._pipes)
        while waiting:
            ready = wait(waiting, timeout=max(0.0, deadline - time.monotonic()))
            if not ready:
                raise ProbeError("measuring a few steps took too long")
            for pipe in ready:
                assert isinstance(pipe, Connection)
                waiting.remove(pipe)
                try:
                    yield pipe.recv()
                except (EOFError, ConnectionResetError):
                    yield self._ended(pipe)

    def _ended(self, pipe: Connection) -> Any:
        """What the end of a process says."""
        from trainable.probe import Refused

        child = self._children[self._pipes.index(pipe)]
        child.join()
        killed = child.exitcode == -9
        reason = _KILLED if killed else f"a process ended with exit code {child.exitcode}"
        return Refused(reason=reason, out_of_memory=killed)

    def _checked(self, answer: Any) -> Any:
        from trainable.probe import Refused

        if not isinstance(answer, Refused):
            return answer
        if answer.out_of_memory:
            raise OutOfMemoryError(
                answer.reason,
                at_once=len(self._children),
                memory_bytes=answer.memory_bytes,
                memory_total=answer.memory_total,
            )
        raise ProbeError(answer.reason)


def _environment(spec: SearchSpec) -> dict[str, str | None]:
    """Of a trial's process, as Ray would have it."""
    threads = str(max(1, int(spec.cpus_per_trial)))
    changes: dict[str, str | None] = {**without_secrets(os.environ), "OMP_NUM_THREADS": threads}
    if not spec.gpus_per_trial:
        changes |= {**allocator_environment(os.environ), "CUDA_VISIBLE_DEVICES": ""}
    return changes
