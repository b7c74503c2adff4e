"""One search of instant trials in this process, and Ray Tune alone with the same trials."""

import dataclasses
import io
import logging
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.part_timer import PartTimer

_NAME: Final = "scale"
_SLOTS: Final = 2
_LAST: Final = 10
"""The end of a search is its last tenth."""
_COLUMNS: Final = 120


class SearchCase:
    """Built and called in a process of its own: the peak of memory is the case's.

    Args:
        trials: How many.
        epochs: Of the longest trial.
    """

    def __init__(self, trials: int, epochs: int) -> None:
        self._trials, self._epochs = trials, epochs

    def search(self, tracked: bool) -> dict[str, Any]:
        """A search as `python -m search run` does it, but for its data, training and final test.

        Args:
            tracked: With MLflow, and a live table; else without, and lines of text.
        """
        timer = PartTimer()
        clock = _Clock(timer)
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            figures = self._run(Path(folder), clock, timer, tracked=tracked)
        figures |= {"tracked": tracked, "whole_cpu_s": time.process_time() - began}
        return figures | clock.figures()

    def tune_alone(self) -> dict[str, Any]:
        """The same trials by Tune with a searcher that always says the same, first in first out."""
        from search.cluster import prepare_environment

        prepare_environment(private=True)
        import ray

        from benchmarks.tune_alone import run_tune

        clock = _Clock(PartTimer())
        with tempfile.TemporaryDirectory() as folder:
            quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
            ray.init(address="local", include_dashboard=False, num_cpus=_SLOTS, **quiet)
            logging.getLogger("ray").setLevel(logging.CRITICAL)
            try:
                run_tune(self._trials, self._epochs, Path(folder), clock)
            finally:
                ray.shutdown()
        return clock.figures()

    def _run(
        self, folder: Path, clock: "_Clock", timer: PartTimer, *, tracked: bool
    ) -> dict[str, Any]:
        from rich.console import Console

        from search.cluster import prepare_environment

        prepare_environment(private=True)
        from benchmarks.instant_trial import InstantTrial
        from search.progress import Progress
        from search.tracking import Tracker
        from search.tuner import run_trials

        spec = _spec(folder, self._trials, self._epochs)
        tracker = Tracker(spec.folder)
        watch(timer)
        listeners: list[Callable[[dict[str, Any]], None]] = [clock]
        if tracked:
            tracker.start()
        screen = Console(file=io.StringIO(), force_terminal=tracked, width=_COLUMNS)
        with Progress(spec, screen) as progress:
            run_trials(
                spec,
                _data(),
                listeners=(progress, *listeners),
                trainable=InstantTrial,
                evaluate=_no_evaluation,
            )
        ended = time.perf_counter()
        unsent = not tracker.close(timeout_s=3600.0)
        return {
            "mlflow_catching_up_s": time.perf_counter() - ended if tracked else None,
            "mlflow_complete": not unsent if tracked else None,
            **_results(spec),
        }


class _Clock:
    """A listener: CPU time, its parts and the memory of this process as trials start and end."""

    def __init__(self, timer: PartTimer) -> None:
        self._timer = timer
        self._started: tuple[float, float] | None = None
        self._bytes_before = 0
        self._ends: list[tuple[float, float]] = []

    def __call__(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "trial_started" and self._started is None:
            self._started = _now()
            self._bytes_before = resident_bytes()
            self._parts_before = dict(self._timer.seconds)
        elif event["event"] == "trial_ended":
            self._ends.append(_now())
            self._bytes_after = resident_bytes()
            self._parts_after = dict(self._timer.seconds)

    def figures(self) -> dict[str, Any]:
        """Of the time from the start of the first trial to the end of the last one."""
        assert self._started is not None, "a search has trials"
        trials, (cpu, wall) = len(self._ends), self._started
        last = max(1, trials // _LAST)
        late = self._ends[-last - 1][0] if trials > last else cpu
        cpu_s = self._ends[-1][0] - cpu
        return {
            "trials": trials,
            "cpu_ms_per_trial": 1e3 * cpu_s / trials,
            "cpu_ms_per_late_trial": 1e3 * (self._ends[-1][0] - late) / last,
            "wall_ms_per_trial": 1e3 * (self._ends[-1][1] - wall) / trials,
            "parts_ms_per_trial": {
                part: 1e3 * (seconds - self._parts_before.get(part, 0.0)) / trials
                for part, seconds in sorted(self._parts_after.items())
            },
            "kib_per_trial": (self._bytes_after - self._bytes_before) / 1024 / trials,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }


def watch(timer: PartTimer) -> None:
    """Time the parts of a search in this process from now on."""
    from optuna.samplers import TPESampler

    from search.journal import Journal
    from search.progress import Progress
    from search.recorder import Recorder
    from search.searcher import StudySearcher
    from search.stopping import ActorReaper
    from search.study import SearchStudy

    proposing = ("infer_relative_search_space", "sample_relative", "sample_independent")
    timer.watch("TPE", TPESampler, proposing)
    timer.watch("study", SearchStudy, ("ask", "report", "finish", "predecessors"))
    timer.watch("searcher", StudySearcher, ("suggest", "on_trial_result", "on_trial_complete"))
    timer.watch("journal", Journal, ("append",))
    timer.watch("progress", Progress, ("__call__", "_render"))
    told = ("start", "result", "complete", "recover", "error")
    timer.watch("recorder", Recorder, (*(f"on_trial_{what}" for what in told), "on_step_end"))
    timer.watch("reaper", ActorReaper, ("on_step_begin", "on_trial_complete", "on_step_end"))


def resident_bytes() -> int:
    """Memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _now() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _spec(folder: Path, trials: int, epochs: int) -> Any:
    from search.spec import SPEC_NAME, SearchSpec
    from spaces import space_for
    from trainable.config import TrialConfig

    spec = SearchSpec(
        name=_NAME,
        runs_dir=str(folder),
        preset="smoke",
        config=TrialConfig(loss="db", epochs=epochs, mu=0.5),
        space=space_for("db", mu=0.5),
        trials=trials,
        grace_period=1,
        reduction_factor=3,
        cpus_per_trial=1,
        max_concurrent=_SLOTS,
    )
    spec.folder.mkdir()
    spec.save(spec.folder / SPEC_NAME)
    return spec


def _data() -> Any:
    from trainable.encoded import EncodedDataset, EncodedSplit

    split = EncodedSplit(
        token_ids=np.full(4, 101, dtype=np.int32),
        token_offsets=np.arange(3) * 2,
        label_ids=np.zeros(2, dtype=np.int32),
        label_offsets=np.arange(3),
    )
    return EncodedDataset(
        name="nothing",
        fingerprint="0",
        label_names=("one",),
        groups=("head",),
        pad_id=0,
        train=split,
        val=split,
        test=split,
    )


def _no_evaluation(*_: Any) -> dict[str, Any]:
    return {"split": "test", "threshold": 0.4, "num_docs": 2, "micro_f1": 0.5, "macro_f1": 0.5}


def _results(spec: Any) -> dict[str, Any]:
    """What the files of results cost, once, after the last trial."""
    from search.plots import draw_plots
    from search.results import load_search
    from search.summary import write_summary

    began = time.process_time()
    record = load_search(spec.folder)
    write_summary(record)
    summed = time.process_time()
    draw_plots(dataclasses.replace(record, test_report=None))
    return {
        "summary_cpu_s": summed - began,
        "plots_cpu_s": time.process_time() - summed,
        "statuses": {
            status: sum(trial.status == status for trial in record.trials)
            for status in sorted({trial.status for trial in record.trials})
        },
        "folder_bytes": {
            path.name: path.stat().st_size for path in sorted(spec.folder.glob("*.*"))
        },
    }
