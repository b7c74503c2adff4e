"""This project's engine as a worker process runs it, measured from outside."""

import dataclasses
import time
from typing import Any

import numpy as np
import torch

from benchmarks.flops import matmul_peak, wait_for
from trainable.config import TrialConfig
from trainable.encoded import EncodedDataset
from trainable.loop import TrainingSession
from trainable.metrics import split_metrics
from trainable.thresholds import ThresholdCounts, best_threshold, micro_f1_curve


class EngineLoop:
    """Trains a session in rounds of one epoch; the surface of `ReferenceLoop`, and more.

    Args:
        config: Of the trial; its number of epochs does not matter.
        data: What to train on, and to validate on.
    """

    def __init__(self, config: TrialConfig, data: EncodedDataset) -> None:
        self.session = TrainingSession(config.replace(epochs=1000), data)

    def warm_up(self, docs: int) -> None:  # noqa: ARG002 - an epoch is short here
        """An epoch that nobody times."""
        self.session.run_epoch()

    def round(self, batches: int = 0) -> tuple[int, float]:  # noqa: ARG002 - as above
        """Documents and seconds of an epoch's training part."""
        metrics = self.session.run_epoch()
        docs = len(self.session.data.train)
        return docs, docs / metrics["time/train_docs_per_s"]

    def validate(self) -> tuple[int, float]:
        """Documents and seconds of an evaluation of the validation split: loss and all metrics."""
        wait_for(self.session.device)
        started = time.perf_counter()
        self.session.evaluate("val")  # its metrics are numbers: nothing is left to wait for
        return len(self.session.data.val), time.perf_counter() - started

    def metrics(self, num_docs: int, num_labels: int) -> float:
        """Seconds from probabilities to all metrics of so many random documents and labels."""
        rng = torch.Generator().manual_seed(0)
        device = self.session.device
        probs_NL = torch.rand(num_docs, num_labels, generator=rng).pow(8).to(device)
        targets_NL = (torch.rand(num_docs, num_labels, generator=rng) < 0.01).to(device)
        groups = np.resize(np.array(["head", "medium", "tail"]), num_labels).tolist()
        wait_for(device)
        started = time.perf_counter()
        counts = ThresholdCounts(num_labels, device=device)
        counts.update(probs_NL, targets_NL)
        final = counts.counts()
        split_metrics("val", final, best_threshold(micro_f1_curve(final)), tuple(groups))
        return time.perf_counter() - started

    def peak(self) -> float:
        """FLOP/s of a matrix product here, in the session's precision."""
        return matmul_peak(self.session.device, self.session.precision)


class LastStep(Exception):  # noqa: N818 - nothing went wrong
    """As many steps as were asked for are done."""


@dataclasses.dataclass(slots=True)
class StepClock:
    """Stands in for a session's step: notes when each begins and ends, and stops after the last.

    Use `StepClock.on(session, limit)`, then `session.run_epoch()` raises LastStep.
    """

    step: Any
    device: torch.device
    limit: int
    begins: list[float] = dataclasses.field(default_factory=list)
    """Unix times."""
    ends: list[float] = dataclasses.field(default_factory=list)

    @classmethod
    def on(cls, session: TrainingSession, limit: int) -> "StepClock":
        """Time the next steps of `session`."""
        before = session._step.step if isinstance(session._step, StepClock) else session._step
        clock = cls(step=before, device=session.device, limit=limit)
        session._step = clock  # type: ignore[assignment]
        return clock

    def __call__(self, *arguments: Any) -> Any:
        """The step itself."""
        self.begins.append(time.time())
        result = self.step(*arguments)
        wait_for(self.device)
        self.ends.append(time.time())
        if len(self.ends) >= self.limit:
            raise LastStep
        return result
