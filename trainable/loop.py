"""The training of one trial, an epoch at a time: no Ray, no tracker, no files.

What an epoch does depends on the weights, the optimiser's state and (config.seed, epoch) alone:
the document order and dropout are drawn from generators seeded by these. So a training that is
resumed in the middle, or moved to a process that trained something else before, gives the same
numbers.

Shapes: B documents of a batch, slice or chunk, L labels, K thresholds.
"""

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from trainable.batching import batches_of, epoch_order
from trainable.best_epoch import BestEpoch, best_metrics
from trainable.config import OBJECTIVE, TrialConfig
from trainable.datasets.records import SplitName
from trainable.device import (
    cpu_threads,
    pick_device,
    resolve_precision,
    return_free_memory,
    seeded,
)
from trainable.divergence import DivergedError, FiniteWatch
from trainable.encoded import EncodedDataset
from trainable.errors import UsageError
from trainable.head import HeadForward, build_head
from trainable.label_stats import label_stats
from trainable.losses import LossFunction, build_loss
from trainable.metrics import split_metrics
from trainable.objectives import SCORE_KEYS, objective_curve
from trainable.optim import build_optimizer, learning_rate_at
from trainable.step import AnyForward, OptimizerStep
from trainable.thresholds import THRESHOLDS_K, ThresholdCounts, best_threshold

if TYPE_CHECKING:
    from trainable.model import PristineWeights

_TRIM_STEPS: Final = 8
_CHUNK_DOCS: Final = 1024
_CHUNK_ELEMENTS: Final = 2**24
"""Of the [B, L] tensors of an evaluation, whatever the number of labels (DESIGN D12)."""


class TrainingSession:
    """One trial, on one device.

    Args:
        config: the trial; `mu` may be None: it is then estimated from the training labels.
        data: encoded with at least `config.max_length`; its arrays may be read-only. With
            `tune=head` it must have features.
        device: where to train; None: a GPU if there is one.
        pristine: the weights of `config.encoder`, if the caller has them; None: read them where
            they are needed, which is not the case with `tune=head`.
        reuse: the model of a session that has ended, overwritten in place where it fits.

    Raises:
        UsageError: the encoder cannot be read, or has too few positions for `max_length`.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: EncodedDataset,
        *,
        device: torch.device | None = None,
        pristine: "PristineWeights | None" = None,
        reuse: nn.Module | None = None,
    ) -> None:
        self.config = config
        self.data = data.truncated(config.max_length)
        self.device = device or pick_device()
        self.epoch = 0
        """Epochs done."""
        self.best: BestEpoch | None = None
        self._forward = self._head() if config.tune == "head" else self._encoder(pristine, reuse)
        self.model = self._forward.model
        self._optimizer = build_optimizer(self.model, config)
        self._loss = _loss_of(config, data)
        self._step = self._build_step()
        self._steps_per_epoch = -(-len(data.train) // config.batch_size)

    def _encoder(self, pristine: "PristineWeights | None", reuse: nn.Module | None) -> AnyForward:
        # these import transformers, which takes 5 s and trials of a head do without
        from trainable.forward import Forward
        from trainable.model import PristineWeights, build_model

        config = self.config
        pristine = pristine or PristineWeights.load(config.encoder)
        _check_positions(config, pristine.config.max_position_embeddings)
        names = self.data.label_names
        return Forward.of(
            build_model(pristine, config, names, self.device, reuse=reuse),
            precision=resolve_precision(config.precision, self.device),
            pad_id=self.data.pad_id,
        )

    def _head(self) -> AnyForward:
        features_NF = self.data.train.features
        assert features_NF is not None, "tune=head needs features.with_features"
        head = build_head(
            self.config,
            num_features=features_NF.shape[1],
            num_labels=self.data.num_labels,
            device=self.device,
        )
        return HeadForward(model=head)

    def _build_step(self) -> OptimizerStep:
        parts = self._forward, self._optimizer, self._loss, self.config
        if self.config.tune == "head":
            return OptimizerStep(*parts)
        from trainable.static_step import build_step

        return build_step(*parts)

    @property
    def precision(self) -> str:
        """`bf16` or `fp32`: what the setting came to on this device."""
        return self._forward.precision

    @property
    def best_metrics(self) -> dict[str, float]:
        """The `best/...` metrics; before the first validation the objective is 0."""
        return best_metrics(self.best)

    def halve(self) -> None:
        """Slices of half the size; the same gradients, but for rounding and dropout masks."""
        self._forward.halved = True

    def run_epoch(self) -> dict[str, float]:
        """Train one epoch, then validate.

        Returns:
            `epoch`, `train/...`, `val/...`, `best/...` and `time/...`; `train/learning_rate` is
            that of the last step, `train/loss` the mean over the documents.

        Raises:
            DivergedError: a loss, gradient, logit or the objective is not finite.
            ValueError: all epochs of the config are done.
        """
        if self.epoch >= self.config.epochs:
            raise ValueError(f"all {self.config.epochs} epochs are done")
        started = time.perf_counter()
        seeds = np.random.SeedSequence([self.config.seed, self.epoch])
        dropout_seed = int(seeds.generate_state(1)[0])
        self._forward.seed_dropout(dropout_seed)
        with cpu_threads(self.config.num_threads), seeded(dropout_seed, self.device):
            train_loss = self._train_epoch()
        train_s = time.perf_counter() - started
        validation = self.evaluate("val")
        self.epoch += 1
        self._note_best(validation)
        return {
            "epoch": self.epoch,
            "train/loss": train_loss,
            "train/learning_rate": self._learning_rate(self.epoch * self._steps_per_epoch - 1),
            **validation,
            **self.best_metrics,
            "time/epoch_s": time.perf_counter() - started,
            "time/train_docs_per_s": len(self.data.train) / train_s,
        }

    def evaluate(self, split: SplitName) -> dict[str, float]:
        """Loss and metrics of a split.

        The threshold is the best one of the split itself for `val`, and for the others the one
        that `val` chose at the best epoch (0.5 before that).

        Raises:
            DivergedError: a logit is not finite.
        """
        counts = ThresholdCounts(self.data.num_labels, device=self.device)
        total_loss = 0.0
        for logits_BL, targets_BL in self._logits(split):
            counts.update(torch.sigmoid(logits_BL), targets_BL)
            total_loss += self._loss(logits_BL, targets_BL).item() * len(logits_BL)
        final = counts.counts()
        objective_K = objective_curve(self.config.objective, final, self.data.groups)
        index = self._threshold_index(split, objective_K)
        return {
            f"{split}/loss": total_loss / max(1, len(self.data.split(split))),
            f"{split}/objective": float(objective_K[index]),
            **split_metrics(split, final, index, self.data.groups),
        }

    def probabilities(self, split: SplitName) -> Iterator[tuple[Tensor, Tensor]]:
        """Probabilities [B, L] float32 and targets [B, L] bool on the CPU, in document order.

        Raises:
            DivergedError: a logit is not finite.
        """
        for logits_BL, targets_BL in self._logits(split):
            yield torch.sigmoid(logits_BL).cpu(), targets_BL.cpu()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs. Its tensors are live: copy or write them at once."""
        return {
            "epoch": self.epoch,
            "best": None if self.best is None else dataclasses.asdict(self.best),
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, which a session of the same config and data gave."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]
        self.best = None if state["best"] is None else BestEpoch(**state["best"])

    def _train_epoch(self) -> float:
        self.model.train()
        order = epoch_order(len(self.data.train), seed=self.config.seed, epoch=self.epoch)
        step = self.epoch * self._steps_per_epoch
        watch = FiniteWatch(step, every=1 if self.device.type == "cpu" else self._steps_per_epoch)
        total_loss = torch.zeros((), dtype=torch.float64, device=self.device)
        trimmed = self.device.type == "cpu" and self.config.tune == "all"
        for docs_B in batches_of(order, self.config.batch_size):
            loss, norm = self._step(self.data.train, docs_B, self._learning_rate(step))
            watch.add(loss, norm)
            total_loss += loss * len(docs_B)
            step += 1
            if trimmed and step % _TRIM_STEPS == 0:
                return_free_memory()
        watch.check()
        return total_loss.item() / len(order)

    def _logits(self, split_name: SplitName) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits and targets of consecutive documents, on the device."""
        split = self.data.split(split_name)
        chunk = max(1, min(_CHUNK_DOCS, _CHUNK_ELEMENTS // self.data.num_labels))
        for docs_B in batches_of(np.arange(len(split)), chunk):
            with cpu_threads(self.config.num_threads):
                logits_BL = self._forward.inference(split, docs_B)
            if not torch.isfinite(logits_BL).all():
                step = self.epoch * self._steps_per_epoch
                raise DivergedError(step, f"a logit of the {split_name} split")
            yield logits_BL, self._forward.targets(split, docs_B)

    def _learning_rate(self, step: int) -> float:
        total_steps = self.config.epochs * self._steps_per_epoch
        return learning_rate_at(step, total_steps=total_steps, config=self.config)

    def _threshold_index(self, split: SplitName, objective_K: Tensor) -> int:
        if split == "val":
            return best_threshold(objective_K)
        threshold = 0.5 if self.best is None else self.best.threshold
        return int(np.argmin(np.abs(np.asarray(THRESHOLDS_K) - threshold)))

    def _note_best(self, validation: Mapping[str, float]) -> None:
        objective = validation[OBJECTIVE]
        if not math.isfinite(objective):
            raise DivergedError(self.epoch * self._steps_per_epoch, "the objective")
        if self.best is None or objective > self.best.objective:
            self.best = BestEpoch(
                epoch=self.epoch,
                objective=objective,
                threshold=validation["val/threshold"],
                scores={n: validation[key] for n, key in SCORE_KEYS.items() if key in validation},
            )


def _check_positions(config: TrialConfig, positions: int) -> None:
    if config.max_length > positions:
        raise UsageError(
            f"setting 'max_length' must be at most {positions}, the positions of encoder "
            f"'{config.encoder}', got {config.max_length}"
        )


def _loss_of(config: TrialConfig, data: EncodedDataset) -> LossFunction:
    stats = label_stats(data.train, data.num_labels)
    values = config.loss_hyperparameters
    if "mu" in values and values["mu"] is None:
        values["mu"] = stats.mu_estimate
    return build_loss(
        config.loss,
        label_counts=stats.label_counts_L,
        num_examples=stats.num_examples,
        formula=config.loss_formula,
        **values,
    )
