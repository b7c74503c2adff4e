"""What a setting changes in a training, as a number; 0: nothing. For the check of dead settings.

A setting is looked at where it acts, by the code that trials run:

    loss       it, its hyperparameters and formula: value and gradient on many documents' labels
    schedule   learning rate, its course, epochs, batch: the rate of every step, the batches' size
    length     word pieces: how the documents are cut
    update     all others: the parameters after two real steps on a few documents

What was traded away: logits are drawn, wide enough to meet every bend of a loss, instead of
waiting for those of a training.

Shapes: B documents, L labels.
"""

import dataclasses
import math
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import torch
from torch import Tensor

from trainable.batching import Indices, dense_targets
from trainable.config import PAPER_LOSS_VALUES, TrialConfig
from trainable.device import cpu_threads
from trainable.divergence import DivergedError
from trainable.encoded import EncodedDataset
from trainable.label_stats import LabelStats, label_stats
from trainable.loop import TrainingSession
from trainable.losses import build_loss
from trainable.optim import learning_rate_at

if TYPE_CHECKING:
    from trainable.model import PristineWeights

Aspect = Literal["loss", "schedule", "length", "update"]

SAME: Final = 1e-7
"""Relative differences up to here are lost in float32, in which trials compute."""
_LOSS_SETTINGS: Final = ("loss", *PAPER_LOSS_VALUES, "mu", "loss_formula")
_SCHEDULE_SETTINGS: Final = (
    *("learning_rate", "lr_schedule", "warmup_fraction", "epochs", "batch_size"),
)
_LOGIT_SPREAD: Final = 2.0
_ELEMENTS: Final = (2**16, 2**22)
"""Of the [B, L] tensors that a loss is compared on: at first, and before it is called dead."""
_MOST_STEPS: Final = 10_000
_STEP_DOCS: Final = 8
_STEP_WIDTH: Final = 16
"""Documents and word pieces of the real steps."""
_CPU: Final = torch.device("cpu")


def aspect_of(name: str) -> Aspect:
    """Where the setting `name` acts."""
    if name in _LOSS_SETTINGS:
        return "loss"
    if name in _SCHEDULE_SETTINGS:
        return "schedule"
    return "length" if name == "max_length" else "update"


class Effects:
    """Compares settings on one dataset.

    Args:
        data: with at least two training documents, and features where heads are compared.
    """

    def __init__(self, data: EncodedDataset) -> None:
        self._data = data
        self._stats: LabelStats = label_stats(data.train, data.num_labels)
        self._few = _a_few(data)
        self._pristine: PristineWeights | None = None

    def difference(self, name: str, one: TrialConfig, other: TrialConfig) -> float:
        """How far two trainings are apart that differ in the setting `name` alone.

        Returns:
            The relative difference, infinite where there is nothing to divide by (another number
            of steps, say). Of losses up to `SAME` is nothing, of all else only 0.
        """
        match aspect_of(name):
            case "loss":
                with cpu_threads(1):  # so small: more would wait for each other
                    return self._of_losses(one, other)
            case "schedule":
                return _of_arrays(self._schedule(one), self._schedule(other))
            case "length":
                return _of_arrays(self._lengths(one), self._lengths(other))
            case "update":
                return self.of_updates(one, other)

    def of_updates(self, one: TrialConfig, other: TrialConfig) -> float:
        """The relative difference of the parameters after two steps; exactly 0 if there is none."""
        first, second = self._parameters(one), self._parameters(other)
        if first is None or second is None:
            return 0.0 if first is second else math.inf
        return _of_arrays(first, second)

    def steps(self, config: TrialConfig) -> int:
        """Of the longest training."""
        return config.epochs * -(-len(self._data.train) // config.batch_size)

    def longest(self) -> int:
        """Word pieces of the longest document to train or validate on."""
        return int(max(self._data.split(name).lengths.max(initial=0) for name in ("train", "val")))

    def _of_losses(self, one: TrialConfig, other: TrialConfig) -> float:
        for elements in _ELEMENTS:
            docs_B = _spread(len(self._data.train), max(2, elements // self._data.num_labels))
            targets_BL = dense_targets(self._data.train, docs_B, self._data.num_labels, _CPU)
            first, second = (self._loss(config, targets_BL) for config in (one, other))
            apart = max(_of_arrays(a, b) for a, b in zip(first, second, strict=True))
            if apart > SAME or len(docs_B) == len(self._data.train):
                break
        return apart

    def _loss(self, config: TrialConfig, targets_BL: Tensor) -> tuple["_Array", "_Array"]:
        """A loss and its gradient, float64."""
        values = config.loss_hyperparameters
        if "mu" in values and values["mu"] is None:
            values["mu"] = self._stats.mu_estimate
        loss = build_loss(
            config.loss,
            label_counts=self._stats.label_counts_L,
            num_examples=self._stats.num_examples,
            formula=config.loss_formula,
            **values,
        )
        drawn = torch.Generator().manual_seed(0)
        logits_BL = torch.randn(targets_BL.shape, dtype=torch.float64, generator=drawn)
        logits_BL = (logits_BL * _LOGIT_SPREAD).requires_grad_()
        value = loss(logits_BL, targets_BL)
        (gradient_BL,) = torch.autograd.grad(value, logits_BL)
        return value.detach().reshape(1).numpy(), gradient_BL.numpy()

    def _schedule(self, config: TrialConfig) -> "_Array":
        """The learning rates of (at most 10,000) steps, then the documents of a batch."""
        total = self.steps(config)
        rates = [
            learning_rate_at(int(step), total_steps=total, config=config)
            for step in _spread(total, _MOST_STEPS)
        ]
        return np.array([total, min(config.batch_size, len(self._data.train)), *rates])

    def _lengths(self, config: TrialConfig) -> "_Array":
        lengths = [self._data.split(name).lengths for name in ("train", "val")]
        return np.minimum(np.concatenate(lengths), config.max_length)

    def _parameters(self, config: TrialConfig) -> "_Array | None":
        """After two steps from the trial's own start; None if it diverged there."""
        config = config.replace(
            batch_size=_STEP_DOCS, max_length=min(config.max_length, _STEP_WIDTH), num_threads=1
        )
        if config.tune == "all" and self._pristine is None:
            from trainable.model import PristineWeights  # transformers: heads do without

            self._pristine = PristineWeights.load(config.encoder)
        try:
            with cpu_threads(1):
                session = TrainingSession(config, self._few, device=_CPU, pristine=self._pristine)
                session.run_epoch()
        except DivergedError:
            return None
        return np.concatenate([p.detach().flatten().numpy() for p in session.model.parameters()])


_Array = np.ndarray[tuple[int, ...], np.dtype[np.number]]


def _of_arrays(one: _Array, other: _Array) -> float:
    """The largest difference over the largest value; infinite between shapes."""
    if one.shape != other.shape:
        return math.inf
    apart = float(np.abs(one - other).max(initial=0.0))
    size = max(float(np.abs(one).max(initial=0.0)), float(np.abs(other).max(initial=0.0)))
    return apart / size if apart else 0.0


def _spread(count: int, most: int) -> Indices:
    """At most `most` of `count` positions, evenly spaced, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def _a_few(data: EncodedDataset) -> EncodedDataset:
    """Documents for two steps."""
    train = _spread(len(data.train), 2 * _STEP_DOCS)
    val = _spread(len(data.val), _STEP_DOCS)
    return dataclasses.replace(
        data, train=data.train.take(train), val=data.val.take(val), test=data.test.take(val[:0])
    )
