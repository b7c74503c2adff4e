"""What each run must be told: the events of a journal, translated. No mlflow, no I/O.

A message is everything that is to be said to one run, in one piece; messages to the same run
merge in order. The same journal always gives the same messages, times included: that is what
makes a replay idempotent.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from search.journal import BUDGET_STATUSES
from trainable.config import BEST_OBJECTIVE

RunStatus = str
"""MLflow's: RUNNING, FINISHED, FAILED or KILLED."""

RunKey = int | tuple[int, int] | None
"""A trial's run by its number, a run that confirms it by trial and seed, the search's by None."""

INTERRUPTED: Final = "interrupted"

RUN_STATUS: Final[Mapping[str, RunStatus]] = MappingProxyType(
    {
        # trials: being stopped by ASHA is a success of the search, not a failure of the trial
        "completed": "FINISHED",
        "stopped": "FINISHED",
        "diverged": "FAILED",
        "out_of_memory": "FAILED",
        "failed": "FAILED",
        INTERRUPTED: "KILLED",
        # searches
        **dict.fromkeys(BUDGET_STATUSES, "FINISHED"),
        "running": "RUNNING",
    }
)

_FROM_BEST: Final = (BEST_OBJECTIVE, "best/epoch", "best/threshold")


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric; `time_ms` in unix milliseconds."""

    key: str
    value: float
    time_ms: int
    step: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What one run must be told."""

    trial: int | None
    """The trial's number; None: the search itself."""
    seed: int | None = None
    """Of a run that confirms the trial; None: of the trial itself."""
    started_ms: int | None = None
    params: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    points: tuple[Point, ...] = ()
    status: RunStatus | None = None
    ended_ms: int | None = None
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Artifacts made here: path -> content."""
    files: Mapping[Path, str] = dataclasses.field(default_factory=dict)
    """Artifacts that lie in the folder: file -> artifact folder, `""` for the top."""
    dataset: Mapping[str, str] | None = None
    """The dataset input: `name`, `digest`, `source`, `profile`."""

    @property
    def key(self) -> RunKey:
        """Which run it is for."""
        return self.trial if self.trial is None or self.seed is None else (self.trial, self.seed)

    def then(self, later: Self) -> Self:
        """Both in one; where they disagree the later one holds."""
        assert self.key == later.key, "messages to different runs do not merge"
        return dataclasses.replace(
            later,
            started_ms=later.started_ms if self.started_ms is None else self.started_ms,
            params={**self.params, **later.params},
            tags={**self.tags, **later.tags},
            points=self.points + later.points,
            status=later.status or self.status,
            ended_ms=later.ended_ms if later.status else self.ended_ms,
            texts={**self.texts, **later.texts},
            files={**self.files, **later.files},
            dataset=later.dataset or self.dataset,
        )


@dataclasses.dataclass(slots=True)
class TrialState:
    """What the journal has said of one trial so far."""

    params: Mapping[str, Any]
    heard_ms: int
    epochs: int = 0
    status: str = "running"
    best: tuple[float, float, float] | None = None
    """Objective, epoch, threshold; None before the first epoch."""
    best_scores: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """All `best/...` metrics of that epoch."""


class Translator:
    """Journal events in, messages out; keeps the state that a later event is read by."""

    def __init__(self, shared_params: Mapping[str, str] = MappingProxyType({})) -> None:
        self.trials: dict[int, TrialState] = {}
        self.leader: int | None = None
        """Number of the best trial so far; ties go to the lower number."""
        self.status = "running"
        self.reason = ""
        self.heard_ms = 0
        self.tested_ms: int | None = None
        """When the test set was last scored; None: sealed."""
        self._shared_params = shared_params

    def translate(self, event: Mapping[str, Any]) -> list[Message]:
        """The messages of one event; an event of an unknown kind says nothing."""
        self.heard_ms = round(event["time"] * 1000)
        translate = {
            "search_started": self._search_started,
            "trial_started": self._trial_started,
            "trial_restarted": self._trial_restarted,
            "epoch": self._epoch,
            "trial_ended": self._trial_ended,
            "test_evaluated": self._test_evaluated,
            "search_ended": self._search_ended,
        }.get(event["event"])
        return [] if translate is None else translate(event)

    def abandoned(self) -> list[Message]:
        """The messages to a search whose driver is gone without a word."""
        if self.status != "running":
            return []
        return self._end_search(INTERRUPTED, "the driver ended without a word")

    def _search_started(self, event: Mapping[str, Any]) -> list[Message]:
        self.status, self.reason = "running", ""
        tags = {"hpo.status": "running", "hpo.attempt": str(event.get("attempt", 1))}
        started = Message(trial=None, started_ms=self.heard_ms, tags=tags, status="RUNNING")
        return [started, *self._interrupt_running()]

    def _trial_started(self, event: Mapping[str, Any]) -> list[Message]:
        number, params = event["trial"], event["params"]
        self.trials[number] = TrialState(params=params, heard_ms=self.heard_ms)
        outdone = self._new_leader() if number == self.leader else []
        tags = {"hpo.status": "running"}
        if event.get("resumes") is not None:
            tags["hpo.resumes"] = str(event["resumes"])
        return [
            Message(
                trial=number,
                started_ms=self.heard_ms,
                params={
                    **self._shared_params,
                    **{name: str(value) for name, value in params.items()},
                },
                points=self._log10_learning_rate(params),
                tags=tags,
                status="RUNNING",
            ),
            *outdone,
        ]

    def _trial_restarted(self, event: Mapping[str, Any]) -> list[Message]:
        """Its epochs come again, with later times, and later times win."""
        trial = self.trials[event["trial"]]
        trial.best, trial.epochs, trial.heard_ms = None, 0, self.heard_ms
        told = Message(trial=event["trial"], tags={"hpo.restarted": event.get("reason", "")})
        return [told, *(self._new_leader() if event["trial"] == self.leader else [])]

    def _epoch(self, event: Mapping[str, Any]) -> list[Message]:
        number, epoch, metrics = event["trial"], event["epoch"], event["metrics"]
        trial = self.trials[number]
        trial.heard_ms, trial.epochs = self.heard_ms, epoch
        values = {k: v for k, v in metrics.items() if not k.startswith("best/") and k != "epoch"}
        points = self._points(values, step=epoch)
        told = []
        best = best_of(metrics)
        if best is not None and best != trial.best:
            trial.best = best
            trial.best_scores = {k: v for k, v in metrics.items() if k.startswith("best/")}
            # step 0: a bar chart over trials; at the best epoch it would be lone dots
            points += self._points(trial.best_scores, step=0)
            if self.leader is None or self._rank(number) >= self._rank(self.leader):
                self.leader = number
                told = self._tell_leader()
        return [Message(trial=number, points=points), *told]

    def _trial_ended(self, event: Mapping[str, Any]) -> list[Message]:
        self.trials[event["trial"]].heard_ms = self.heard_ms
        return [self._end_trial(event["trial"], event["status"], event.get("reason", ""))]

    def _test_evaluated(self, event: Mapping[str, Any]) -> list[Message]:
        self.tested_ms = self.heard_ms  # the scores are in the report, which is told then
        return [Message(trial=None, tags={"hpo.chosen_trial": str(event.get("trial", ""))})]

    def _search_ended(self, event: Mapping[str, Any]) -> list[Message]:
        return self._end_search(event["status"], event.get("reason", ""))

    def _end_search(self, status: str, reason: str) -> list[Message]:
        self.status, self.reason = status, reason
        tags = {"hpo.status": status, "hpo.reason": reason}
        ended = Message(trial=None, tags=tags, status=RUN_STATUS[status], ended_ms=self.heard_ms)
        return [*self._interrupt_running(), ended]

    def _interrupt_running(self) -> list[Message]:
        running = [number for number, trial in self.trials.items() if trial.status == "running"]
        return [
            self._end_trial(number, INTERRUPTED, "the search ended first") for number in running
        ]

    def _end_trial(self, number: int, status: str, reason: str) -> Message:
        trial = self.trials[number]
        trial.status = status
        tags = {"hpo.status": status, **({"hpo.reason": reason} if reason else {})}
        # an interrupted trial ended, as far as anyone knows, when it was last heard of
        return Message(trial=number, tags=tags, status=RUN_STATUS[status], ended_ms=trial.heard_ms)

    def _rank(self, number: int) -> tuple[float, int]:
        best = self.trials[number].best
        return (-math.inf if best is None else best[0], -number)

    def _new_leader(self) -> list[Message]:
        self.leader = max(self.trials, key=self._rank)
        return self._tell_leader()

    def _tell_leader(self) -> list[Message]:
        assert self.leader is not None, "told only when there is one"
        leader = self.trials[self.leader]
        if leader.best is None:
            return []
        values = {**leader.best_scores, "best/trial": float(self.leader)}
        return [Message(trial=None, points=self._points(values, step=0))]

    def _points(self, values: Mapping[str, Any], *, step: int) -> tuple[Point, ...]:
        return points(values, time_ms=self.heard_ms, step=step)

    def _log10_learning_rate(self, params: Mapping[str, Any]) -> tuple[Point, ...]:
        """MLflow's scatter and parallel axes are linear."""
        rate = params.get("learning_rate")
        if not isinstance(rate, int | float) or rate <= 0:
            return ()
        return self._points({"hp/log10_learning_rate": math.log10(rate)}, step=0)


def best_of(metrics: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Objective, epoch and threshold; None while no epoch could be scored (epoch 0)."""
    objective, epoch, threshold = (float(metrics.get(key, math.nan)) for key in _FROM_BEST)
    best = (objective, epoch, threshold)
    return best if all(math.isfinite(value) for value in best) and epoch >= 1 else None


def points(values: Mapping[str, Any], *, time_ms: int, step: int) -> tuple[Point, ...]:
    """The finite numbers among `values`; an infinity would ruin the axes of every chart."""
    return tuple(
        Point(key, float(value), time_ms, step)
        for key, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    )


def merge(messages: Iterable[Message]) -> dict[RunKey, Message]:
    """One message per run, the search first (its trials name it as parent)."""
    merged: dict[RunKey, Message] = {}
    for message in messages:
        earlier = merged.get(message.key)
        merged[message.key] = message if earlier is None else earlier.then(message)
    if None in merged:
        merged = {None: merged[None], **merged}
    return merged
