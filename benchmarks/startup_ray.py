"""The start of trials in an actor of a search: the only benchmark module that imports Ray."""

import tempfile
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.fresh_trial import first_step
from search.cluster import plain_arrays, prepare_environment, ray_instance
from search.spec import SearchSpec
from spaces import space_for
from trainable.config import TrialConfig
from trainable.device import pick_device
from trainable.encoded import EncodedDataset
from trainable.model import PristineWeights


def measure_actor(data: EncodedDataset, configs: Sequence[TrialConfig]) -> dict[str, Any]:
    """Start the trials of `configs` in one actor, on a private Ray as a search has it."""
    prepare_environment(private=True)
    with tempfile.TemporaryDirectory() as runs_dir:
        spec = SearchSpec(
            name="startup",
            runs_dir=runs_dir,
            preset="cpu-full",
            config=configs[0],
            space=space_for(configs[0].loss, mu=configs[0].mu),
            trials=len(configs),
            grace_period=1,
            reduction_factor=2,
            cpus_per_trial=1.0,
            gpus_per_trial=float(pick_device().type == "cuda"),
            max_concurrent=1,
        )
        pristine = PristineWeights.load(configs[0].encoder)
        started = time.time()
        with ray_instance(spec, data, weights_bytes=pristine.num_bytes):
            ray_s = time.time() - started
            return {
                "ray_start_s": ray_s,
                **_start_trials(spec, plain_arrays(data), pristine, configs),
            }


def _start_trials(
    spec: SearchSpec,
    data: EncodedDataset,
    pristine: PristineWeights,
    configs: Sequence[TrialConfig],
) -> dict[str, Any]:
    import ray
    from ray import tune

    from trainable.trial import FineTuneTrial

    class TimedTrial(FineTuneTrial):
        """Says when it was set up, and stops a trial after its first step."""

        def setup(self, config: dict[str, Any], *shared: Any, **named: Any) -> None:
            self.set_up_at = time.time()
            super().setup(config, *shared, **named)

        def first_step(self, called: float | None) -> tuple[float, dict[str, float]]:
            """When the actor was set up, and the first step since `called` or since then."""
            since = self.set_up_at if called is None else called
            return self.set_up_at, first_step(self._session, since)

    actor_class = ray.remote(tune.with_parameters(TimedTrial, data=data, pristine=pristine))
    resources = {"num_cpus": spec.cpus_per_trial, "num_gpus": spec.gpus_per_trial}
    jobs = [
        {"number": number, "config": config.to_mapping(), "weights_dir": None}
        for number, config in enumerate(configs)
    ]
    called = time.time()
    actor = actor_class.options(**resources).remote(jobs[0])
    set_up_at, first = ray.get(actor.first_step.remote(None))
    warm = []
    for job in jobs[1:]:
        again = time.time()
        assert ray.get(actor.reset_config.remote(job))
        warm.append(ray.get(actor.first_step.remote(again))[1])
    return {
        "process_and_imports_s": set_up_at - called,
        "first_s": first["begins_after_s"],
        "warm_s": [start["begins_after_s"] for start in warm],
        "first_step_done_s": [start["done_after_s"] for start in (first, *warm)],
    }
