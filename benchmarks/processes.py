"""Work in child processes: fresh ones, with an environment of their own, in step with each other.

A worker is an object that its process builds from what it is sent; the parent calls its methods
in all processes at once and gets all answers, as trials run side by side in a search.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from trainable.allocator import allocator_environment, inherited
from trainable.errors import UserError


class Processes:
    """Children that hold one worker each; a context manager that ends them.

    Args:
        build: Importable; makes a worker from `arguments` in its process.
        arguments: One picklable tuple a process.
        environment: Of the children, besides what this process has; None removes a variable.

    Raises:
        UserError: a child ended before its time; what it raised itself is raised here.
    """

    def __init__(
        self,
        build: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._children = []
        with inherited(environment or {}):
            for some in arguments:
                ours, theirs = context.Pipe()
                child = context.Process(target=_serve, args=(theirs, build, some), daemon=True)
                child.start()
                theirs.close()
                self._pipes.append(ours)
                self._children.append(child)

    def __enter__(self) -> "Processes":
        """All workers are built when the block begins."""
        try:
            self._answers()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of all workers at once; their answers in order."""
        for pipe in self._pipes:
            with contextlib.suppress(BrokenPipeError):  # told when it does not answer
                pipe.send((method, arguments))
        return self._answers()

    def close(self) -> None:
        """End the children."""
        for pipe in self._pipes:
            pipe.close()
        for child in self._children:
            child.kill()
            child.join()
            child.close()
        self._pipes, self._children = [], []

    def _answers(self) -> list[Any]:
        answers = []
        for pipe, child in zip(self._pipes, self._children, strict=True):
            try:
                answer = pipe.recv()
            except EOFError:
                child.join()
                raise UserError(
                    f"a measuring process ended with code {child.exitcode}: perhaps memory ran out"
                ) from None
            if isinstance(answer, BaseException):
                raise answer
            answers.append(answer)
        return answers


def one_thread() -> dict[str, str | None]:
    """The environment of a reference loop beside others: one core, the usual allocator."""
    return {"OMP_NUM_THREADS": "1", "LD_PRELOAD": None, "MALLOC_CONF": None}


def as_a_trial() -> dict[str, str | None]:
    """The environment that a search gives its trials on a CPU."""
    return {"OMP_NUM_THREADS": "1", **allocator_environment(os.environ)}


def all_threads() -> dict[str, str | None]:
    """The environment of a loop that has the machine for itself."""
    return {**one_thread(), "OMP_NUM_THREADS": None}


def _serve(pipe: Connection, build: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        worker = build(*arguments)
        pipe.send(None)
        while True:
            method, given = pipe.recv()
            pipe.send(getattr(worker, method)(*given))
    except EOFError:  # the parent is done
        return
    except Exception as error:  # noqa: BLE001 - raised again by the parent
        pipe.send(error)
