"""One step of the optimiser: a batch in slices, gradients added up, clipped, applied.

Shapes: B documents of a batch or slice, L labels.
"""

from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trainable.batching import Indices
from trainable.config import TrialConfig
from trainable.encoded import EncodedSplit
from trainable.losses import LossFunction
from trainable.optim import set_learning_rate


class AnyForward(Protocol):
    """From documents to logits: what `forward.Forward` and `head.HeadForward` have in common."""

    halved: bool
    """Whether slices are of half the size: for less memory, with the same gradients."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    @property
    def device(self) -> torch.device:
        """Where it is."""

    @property
    def precision(self) -> str:
        """`bf16` or `fp32`."""

    def seed_dropout(self, seed: int) -> None:
        """Start a stream of dropout masks of its own anew, if it has one."""

    def autocast(self) -> AbstractContextManager[Any]:
        """To be entered around all slices of a batch."""

    def slices(self, split: EncodedSplit, docs_B: Indices) -> list[Indices]:
        """Positions in `docs_B`, each exactly once."""

    def logits(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Logits [B, L] float32 of one slice."""

    def targets(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Targets [B, L] bool."""

    def inference(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Logits [B, L] float32 of any number of documents, without gradients or dropout."""


class OptimizerStep:
    """Trains the parameters of `optimizer`, which `forward` uses, on one batch a call."""

    def __init__(
        self,
        forward: AnyForward,
        optimizer: torch.optim.AdamW,
        loss: LossFunction,
        config: TrialConfig,
    ) -> None:
        self._forward, self._optimizer, self._loss = forward, optimizer, loss
        self._max_grad_norm = config.max_grad_norm
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def __call__(
        self, split: EncodedSplit, docs_B: Indices, learning_rate: float
    ) -> tuple[Tensor, Tensor]:
        """Train on a batch.

        Returns:
            The loss (mean over B x L, float32) and the global norm of the gradient before
            clipping, both scalars on the device: reading them waits for it.
        """
        set_learning_rate(self._optimizer, learning_rate)
        self._optimizer.zero_grad(set_to_none=True)
        loss = self.accumulate_gradients(split, docs_B)
        norm = self.clip_gradients()
        self._optimizer.step()
        return loss, norm

    def accumulate_gradients(self, split: EncodedSplit, docs_B: Indices) -> Tensor:
        """Backward through a batch, slice by slice; returns its loss, the mean over B x L."""
        batch_loss = torch.zeros((), device=self._forward.device)
        with self._forward.autocast():
            for positions in self._forward.slices(split, docs_B):
                docs = docs_B[positions]
                logits_BL = self._forward.logits(split, docs)
                loss = self._loss(logits_BL, self._forward.targets(split, docs))
                share = loss * (len(docs) / len(docs_B))
                share.backward()
                batch_loss += share.detach()
        return batch_loss

    def clip_gradients(self) -> Tensor:
        """Clip to `max_grad_norm` if it is set; returns the global norm before."""
        parameters = [p for p in self._parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self._max_grad_norm > 0:
            torch.nn.utils.clip_grads_with_norm_(parameters, self._max_grad_norm, norm)
        return norm
