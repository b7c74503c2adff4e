"""Ways of recording trials in MLflow, in a process of its own: this tracker, Ray's callback."""

import resource
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.tracked_search import METRICS, events, metrics, params, write_folder

_CLOSING_S: Final = 600.0
_REPEATS: Final = 3


class TrackingCase:
    """Built and called in a process of its own."""

    def prepare(self, uri: str) -> None:
        """Make the database."""
        from search.tracking.store import connect

        connect(uri)

    def ray_callback(self, uri: str, trials: int, epochs: int) -> dict[str, float]:
        """Ray's MLflowLoggerCallback, called as Tune's controller calls it."""
        from search.tracking.store import connect

        connect(uri)  # makes the database, and imports MLflow
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        callback = MLflowLoggerCallback(tracking_uri=uri, experiment_name="by Ray")
        callback.setup()
        began = time.perf_counter()
        for number in range(trials):
            trial = _Trial(number)
            callback.log_trial_start(trial)
            for epoch in range(1, epochs + 1):
                values = list(metrics(number, epoch).items())
                # it needs this one, which it records too: the number of metrics stays
                result = {**dict(values[1:]), "training_iteration": epoch}
                callback.log_trial_result(epoch, trial, result)
            callback.log_trial_end(trial)
        return _rates(time.perf_counter() - began, trials, epochs)

    def replay(self, uri: str, trials: int, epochs: int) -> dict[str, float]:
        """This tracker, with a whole journal before it: what it catches up with after an outage."""
        from search.tracking.replay import Replay
        from search.tracking.store import connect

        connect(uri)
        with tempfile.TemporaryDirectory() as home:
            folder = Path(home) / f"replayed-{trials}"
            write_folder(folder, trials=trials, epochs=epochs)
            began, cpu = time.perf_counter(), time.process_time()
            Replay(folder, uri).advance()
            cpu_s = time.process_time() - cpu
            return {**_rates(time.perf_counter() - began, trials, epochs), "cpu_s": cpu_s}

    def live(
        self, uri: str, trials: int, epochs: int, seconds: float, tracked: bool
    ) -> dict[str, Any]:
        """A driver that writes a journal at an even pace; what it has to do for tracking.

        Args:
            uri: Of the store.
            trials: Of the search.
            epochs: Of each trial.
            seconds: From the first event to the last.
            tracked: Whether there is a tracker.
        """
        from search.journal import Journal
        from search.tracking import Tracker

        count = 2 + trials * (2 + epochs)
        with tempfile.TemporaryDirectory() as home:
            folder = Path(home) / f"live-{trials}"
            write_folder(folder, trials=trials, epochs=epochs, whole=False)
            journal = Journal(folder / "journal.jsonl")
            problems: list[str] = []
            tracker = Tracker(folder, tracking_uri=uri, report=problems.append)
            began, cpu = time.perf_counter(), time.process_time()
            if tracked:
                tracker.start()
            for place, event in enumerate(events(trials, epochs)):
                time.sleep(max(0.0, began + seconds * place / count - time.perf_counter()))
                journal.append(**event)
            written_s = time.perf_counter() - began
            sent = tracker.close(_CLOSING_S)
            recorded_s = time.perf_counter() - began
            return {
                **_rates(recorded_s, trials, epochs),
                "written_s": written_s,
                "driver_cpu_s": time.process_time() - cpu,
                "sender_cpu_s": _children_cpu_s(),
                "complete": sent and not problems,
            }

    def listing(self, uri: str, experiment: str, analyze: bool) -> dict[str, float]:
        """Seconds until the best trials are listed, as the prepared view asks for them."""
        from search.tracking.links import trials_filter
        from search.tracking.store import connect, refresh_statistics
        from trainable.config import BEST_OBJECTIVE

        if analyze:
            refresh_statistics(uri)
        client = connect(uri)
        found = client.get_experiment_by_name(experiment)
        [one] = client.search_runs([found.experiment_id], max_results=1)
        asked = trials_filter(one.data.tags["hpo.search_id"])
        seconds = {}
        for count in (1, 100):
            took = []
            for _ in range(_REPEATS):
                began = time.perf_counter()
                rows = client.search_runs(
                    [found.experiment_id],
                    asked,
                    max_results=count,
                    order_by=[f"metrics.`{BEST_OBJECTIVE}` DESC"],
                )
                took.append(time.perf_counter() - began)
                assert len(rows) == count, "there are so many trials"
            seconds[f"top_{count}_s"] = sorted(took)[len(took) // 2]
        return seconds


class _Trial:
    """What Ray's callback wants to know of a trial."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.config = params(number)

    def __str__(self) -> str:
        return f"trial_{self.number:05d}"


def _rates(seconds: float, trials: int, epochs: int) -> dict[str, float]:
    return {
        "trials": trials,
        "seconds": seconds,
        "runs_per_s": trials / seconds,
        "metrics_per_s": trials * epochs * METRICS / seconds,
    }


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
