"""Ray Tune with nothing of ours but the instant trials: what a driver on it costs at least."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from benchmarks.instant_trial import InstantTrial

_SLOTS: Final = 2
_CONFIG: Final = {"learning_rate": 1e-4, "epochs": 1}


class _Same(Searcher):
    """Proposes the same for ever."""

    def __init__(self, epochs: int) -> None:
        super().__init__(metric="epoch", mode="max")
        self._asked = 0
        self._epochs = epochs

    def suggest(self, trial_id: str) -> dict[str, Any]:  # noqa: ARG002
        self._asked += 1
        return {"number": self._asked - 1, "config": {**_CONFIG, "epochs": self._epochs}}

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


class _Ends(Callback):
    """Tells starts and ends as a search's journal does."""

    def __init__(self, tell: Callable[[Mapping[str, Any]], None]) -> None:
        self._tell = tell

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, *, trial: Trial, **_: Any) -> None:  # noqa: ARG002
        self._tell({"event": "trial_started"})

    def on_trial_complete(self, *, trial: Trial, **_: Any) -> None:  # noqa: ARG002
        self._tell({"event": "trial_ended"})


def run_tune(
    trials: int, epochs: int, folder: Path, tell: Callable[[Mapping[str, Any]], None]
) -> None:
    """Run trials of so many epochs on the Ray that is up; `tell` hears of starts and ends."""
    tune.Tuner(
        tune.with_resources(InstantTrial, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=_Same(epochs),
            scheduler=FIFOScheduler(),
            num_samples=trials,
            max_concurrent_trials=_SLOTS,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="alone",
            storage_path=str(folder),
            callbacks=[_Ends(tell)],
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
