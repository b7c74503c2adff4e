"""What MLflow is told of a confirmation: a run a candidate and seed, the means on the search's run.

Their tag `hpo.role` is `confirm`: the prepared view shows trials alone.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from search.confirmation import Confirmation, ConfirmationFold, ConfirmRun, Pair
from search.tracking.messages import (
    INTERRUPTED,
    RUN_STATUS,
    Message,
    Translator,
    best_of,
)


class ConfirmTranslator(Translator):
    """The translator of a whole search: its trials, and what confirms the best of them."""

    def __init__(self, shared_params: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(shared_params)
        self._fold = ConfirmationFold()
        self._running: dict[Pair, int] = {}
        """When each open run was last heard of, in unix milliseconds."""
        self._compared: tuple[int, ...] = ()

    @property
    def confirmation(self) -> Confirmation | None:
        """As far as it has come; None: nothing was asked for."""
        return self._fold.confirmation

    def translate(self, event: Mapping[str, Any]) -> list[Message]:
        """The messages of one event; an event of an unknown kind says nothing."""
        kind = event["event"]
        if not kind.startswith("confirm_"):
            return super().translate(event)
        self.heard_ms = round(event["time"] * 1000)
        self._fold = self._fold.after(event)
        if kind == "confirm_planned":
            return self._planned(event)
        pair = event["trial"], event["seed"]
        self._running[pair] = self.heard_ms
        run = self._fold.runs[pair]
        match kind:
            case "confirm_started":
                return [self._run_started(run)]
            case "confirm_epoch":
                return [self._run_epoch(run, event)]
            case "confirm_ended":
                return [self._end_run(pair, run.status, run.reason), *self._means()]
        return []

    def _planned(self, event: Mapping[str, Any]) -> list[Message]:
        self._compared = ()
        trials, seeds = (", ".join(map(str, event[key])) for key in ("trials", "seeds"))
        tags = {"hpo.confirm_trials": trials, "hpo.confirm_seeds": seeds}
        given_up = not event["trials"] and self.leader is not None
        return [
            Message(trial=None, tags=tags),
            *(self._tell_leader() if given_up else self._means()),
        ]

    def _run_started(self, run: ConfirmRun) -> Message:
        params = {**self.trials[run.trial].params, "seed": run.seed}
        return Message(
            trial=run.trial,
            seed=run.seed,
            started_ms=self.heard_ms,
            params={**self._shared_params, **{name: str(value) for name, value in params.items()}},
            tags={"hpo.status": "running"},
            status="RUNNING",
        )

    def _run_epoch(self, run: ConfirmRun, event: Mapping[str, Any]) -> Message:
        metrics, epoch = event["metrics"], event["epoch"]
        values = {k: v for k, v in metrics.items() if not k.startswith("best/") and k != "epoch"}
        points = self._points(values, step=epoch)
        best = best_of(metrics)
        if best is not None and best[1] == epoch:
            points += self._points(_best_scores(metrics), step=0)
        return Message(trial=run.trial, seed=run.seed, points=points)

    def _end_run(self, pair: Pair, status: str, reason: str) -> Message:
        heard_ms = self._running.pop(pair)
        tags = {"hpo.status": status, **({"hpo.reason": reason} if reason else {})}
        trial, seed = pair
        return Message(
            trial=trial, seed=seed, tags=tags, status=RUN_STATUS[status], ended_ms=heard_ms
        )

    def _interrupt_running(self) -> list[Message]:
        left = [
            self._end_run(pair, INTERRUPTED, "the search ended first") for pair in [*self._running]
        ]
        return [*super()._interrupt_running(), *left]

    def _means(self) -> list[Message]:
        """Means and gain on the search's run, where one more seed can be compared."""
        found = self.confirmation
        if found is None or found.compared == self._compared:
            return []
        self._compared = found.compared
        values: dict[str, Any] = {}
        for trial in found.trials:
            values[f"confirm/trial_{trial}/mean"] = found.mean(trial)
            values[f"confirm/trial_{trial}/sd"] = found.spread(trial)
            values[f"confirm/trial_{trial}/seeds"] = len(found.scores(trial))
        winner = found.winner
        if winner is not None:
            values |= self._winner(found, winner)
        tags = {"hpo.confirmed_trial": "" if winner is None else str(winner.trial)}
        return [Message(trial=None, points=self._points(values, step=0), tags=tags)]

    def _winner(self, found: Confirmation, run: ConfirmRun) -> dict[str, float]:
        """It takes the leader's place, and its gain over the paper's values."""
        values = {**_best_scores(run.epochs[-1]), "best/trial": float(run.trial)}
        gain = None
        if found.paper is not None and found.paper != run.trial:
            gain = found.compare(run.trial, found.paper)
        if gain is not None:
            values |= {f"confirm/gain/{key}": getattr(gain, key) for key in ("mean", "low", "high")}
        return values


def _best_scores(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key.startswith("best/")}
