"""A process that has imported nothing yet, and then starts trials as `trainable.trial` does."""

import gc
import time
from typing import Any


class FreshTrial:
    """A worker of `benchmarks.startup`; nothing heavy is imported before it is built."""

    def __init__(self, data: Any) -> None:
        # all that a trial of an encoder imports, some of it not before it begins
        import trainable.loop
        import trainable.model
        import trainable.static_step

        self._loop, self._weights = trainable.loop, trainable.model.PristineWeights
        self._data = data
        self._pristine: Any = None
        self._session: Any = None

    def start(self, config: Any) -> dict[str, float]:
        """Start a trial and do one step: when it began and ended, in seconds from the call."""
        called = time.time()
        model = None if self._session is None else self._session.model
        self._session = None
        gc.collect()
        if self._pristine is None:
            self._pristine = self._weights.load(config.encoder)
        self._session = self._loop.TrainingSession(
            config, self._data, pristine=self._pristine, reuse=model
        )
        return first_step(self._session, called)


def first_step(session: Any, called: float) -> dict[str, float]:
    """Run one step of `session`; seconds from the unix time `called` to its begin and end."""
    from benchmarks.engine import LastStep, StepClock

    clock = StepClock.on(session, limit=1)
    try:
        session.run_epoch()
    except LastStep:
        return {
            "begins_after_s": clock.begins[0] - called,
            "done_after_s": clock.ends[0] - called,
        }
    raise AssertionError("an epoch ended without a step")
