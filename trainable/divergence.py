"""Noticing that a training has diverged."""

import torch
from torch import Tensor


class DivergedError(Exception):
    """A loss, gradient or logit that is not finite."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"{what} is not finite at step {step}")
        self.step = step
        """Optimiser steps done before, from the start of the trial."""
        self.what = what


class FiniteWatch:
    """Finds the first loss or gradient that is not finite, waiting for a GPU only now and then.

    Steps after the bad one may be computed before it is noticed; they are of no use, and no harm.
    """

    def __init__(self, step: int, *, every: int) -> None:
        self._step = step
        self._every = every
        self._waiting: list[Tensor] = []

    def add(self, loss: Tensor, gradient_norm: Tensor) -> None:
        """Note a step; checks all noted ones if there are `every`."""
        self._waiting.append(torch.stack([loss.float(), gradient_norm.float()]))
        if len(self._waiting) >= self._every:
            self.check()

    def check(self) -> None:
        """Check all noted steps.

        Raises:
            DivergedError: for the first of them that is not finite.
        """
        if not self._waiting:
            return
        finite = torch.isfinite(torch.stack(self._waiting)).tolist()
        self._waiting.clear()
        for loss_ok, gradient_ok in finite:
            if not (loss_ok and gradient_ok):
                raise DivergedError(self._step, "a gradient" if loss_ok else "the loss")
            self._step += 1
