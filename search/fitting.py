"""One fit of Ray Tune: the only user of `ray.tune.Tuner`.

A search is one, its confirmation another, in the same Ray instance. Tune's own storage is a
scratch folder that goes when the instance ends.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from search.spec import SearchSpec
from trainable.child_environment import without_secrets

if TYPE_CHECKING:
    from search.recorder import Recorder
    from search.stopping import StopSwitch

_MAX_FAILURES: Final = 1
"""A trial whose worker died starts once more, from its checkpoint if it has one."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """What the fits of one attempt at a search share."""

    spec: SearchSpec
    trainable: type | None
    """The Tune trainable class; None: `trainable.trial.FineTuneTrial`."""
    shared: Mapping[str, Any]
    """Arguments of the trainable that all actors share by Ray's object store, once a node."""
    switch: "StopSwitch"
    scratch: Path

    def fit(
        self, name: str, *, searcher: Any, scheduler: Any, recorder: "Recorder", trials: int
    ) -> None:
        """Run trials until they have ended, or the switch was thrown.

        Args:
            name: Of the fit, in the scratch folder.
            searcher: A Tune Searcher; limits the trials at once by itself.
            scheduler: A Tune scheduler.
            recorder: Writes what happens.
            trials: How many to ask the searcher for.
        """
        from ray import tune

        trainable, spec = self.trainable, self.spec
        if trainable is None:
            from trainable.trial import FineTuneTrial as trainable  # noqa: N813

        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(trainable, **self.shared),
                {"cpu": spec.cpus_per_trial, "gpu": spec.gpus_per_trial},
            ),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=trials,
                max_concurrent_trials=spec.max_concurrent,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=_run_config(name, self.scratch, self.switch, recorder),
        )
        with _keys_stay_here():
            tuner.fit()


@contextlib.contextmanager
def _keys_stay_here() -> Iterator[None]:
    """Tune hands the driver's AWS keys to every trial, for checkpoints that ours do not upload."""
    from ray.tune.execution import class_cache

    handed_on = class_cache.ENV_VARS_TO_PROPAGATE
    secret = without_secrets(dict.fromkeys(handed_on, ""))
    class_cache.ENV_VARS_TO_PROPAGATE = handed_on - set(secret)
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE = handed_on


def _run_config(name: str, scratch: Path, switch: "StopSwitch", recorder: "Recorder") -> Any:
    from ray import tune

    from search.stopping import ActorReaper

    return tune.RunConfig(
        name=name,
        storage_path=str(scratch),
        stop=switch,
        callbacks=[recorder, ActorReaper(switch)],
        verbose=0,
        progress_reporter=tune.CLIReporter(),  # silent; the default is an empty box in notebooks
        failure_config=tune.FailureConfig(max_failures=_MAX_FAILURES),
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
    )


def _trial_name(trial: Any) -> str:
    """Of the process and the folder; a number may run with several seeds."""
    return f"trial-{trial.config['number']:05d}-seed-{trial.config['config']['seed']}"
