"""One case of `benchmarks.scale`, in a process of its own.

Shapes: N documents, F features, L labels.
"""

import resource
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.documents import long_tailed_labels, without_names
from benchmarks.engine import LastStep, StepClock
from trainable.config import TrialConfig
from trainable.encoded import EncodedSplit
from trainable.loop import TrainingSession

FEATURES: Final = 768
"""MiniLM's: the last hidden state of [CLS] and the mean."""
_BATCH: Final = 32
_VAL_DOCS: Final = 1000
_LABELS_PER_DOC: Final = 3.0
_WARM_STEPS: Final = 40


class HeadCase:
    """N documents with L labels, and a session that trains a head on them."""

    def __init__(self, num_docs: int, num_labels: int, head_hidden: int) -> None:
        rng = np.random.default_rng(0)
        data = without_names(
            num_labels,
            pad_id=0,
            train=_split(num_docs, num_labels, rng),
            val=_split(_VAL_DOCS, num_labels, rng),
            test=_split(1, num_labels, rng),
        )
        self._num_steps = -(-num_docs // _BATCH)
        self._case = {"documents": num_docs, "labels": num_labels}
        self._data_bytes = sum(array.nbytes for array in data.train.arrays.values())
        self._bytes_before = _resident_bytes()
        self.session = TrainingSession(
            TrialConfig(
                loss="db",
                mu=0.5,
                tune="head",
                head_hidden=head_hidden,
                epochs=1000,
                batch_size=_BATCH,
            ),
            data,
        )

    def warm_up(self) -> None:
        """Some steps that nobody times."""
        self._steps(min(_WARM_STEPS, self._num_steps))

    def epoch(self, most_seconds: float) -> dict[str, Any]:
        """The training part of an epoch, then validation.

        Args:
            most_seconds: An epoch that would take longer is scaled from the steps of half of it.
        """
        steps = self._num_steps
        few = min(steps, _WARM_STEPS)
        step_s = self._steps(few) / few
        whole = steps * step_s <= most_seconds
        timed = steps if whole else min(steps, max(few, int(most_seconds / 2 / step_s)))
        step_s = self._steps(timed) / timed
        started = time.perf_counter()
        self.session.evaluate("val")
        validation_s = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {
            **self._case,
            "steps": steps,
            "timed_steps": timed,
            "scaled": timed < steps,
            "step_s": step_s,
            "epoch_s": step_s * steps,
            "validation_s": validation_s,
            "peak_bytes": peak,
            "data_bytes": self._data_bytes,
            "work_bytes": peak - self._bytes_before,
        }

    def _steps(self, count: int) -> float:
        """Seconds of so many steps from the start of an epoch."""
        StepClock.on(self.session, limit=count)
        started = time.perf_counter()
        try:
            self.session.run_epoch()
        except LastStep:
            return time.perf_counter() - started
        raise AssertionError(f"an epoch ended before step {count}")


def _split(num_docs: int, num_labels: int, rng: np.random.Generator) -> EncodedSplit:
    label_ids, label_offsets = long_tailed_labels(
        num_docs, num_labels, per_doc=_LABELS_PER_DOC, rng=rng
    )
    return EncodedSplit(
        token_ids=np.full(2 * num_docs, 101, dtype=np.int32),
        token_offsets=np.arange(num_docs + 1) * 2,
        label_ids=label_ids,
        label_offsets=label_offsets,
        features=rng.standard_normal((num_docs, FEATURES), dtype=np.float32),
    )


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
