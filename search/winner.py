"""The chosen trial, and the one look at the test set (DESIGN D8). Needs no Ray.

The journal is the truth about the trials (DESIGN D16); weights files only save work. A worker
may write them before its epoch is in the journal, so that one that dies may leave files of epochs
that never counted: these go, since they would keep better ones out.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from search.confirmation import read_confirmation
from search.journal import JOURNAL_FILE, read_journal
from trainable.config import BEST_OBJECTIVE, OBJECTIVE, TrialConfig
from trainable.encoded import EncodedDataset

if TYPE_CHECKING:
    from trainable.weights import KeptEpoch

TEST_REPORT_FILE: Final = "test_report.json"
PREDICTIONS: Final = "predictions"
"""What the test evaluation returns beside the report: `trainable.predictions.Predictions`."""
WEIGHTS_FOLDER: Final = "weights"
"""In the folder of a search: the weights of the best epoch so far."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Winner:
    """The best epoch of the best trial, or of its first run with another seed."""

    number: int
    params: Mapping[str, Any]
    objective: float
    epoch: int
    threshold: float
    seed: int | None = None
    """Of the run that confirmed it; None: the one that all trials of the search share."""


def choose_winner(events: Iterable[Mapping[str, Any]]) -> Winner | None:
    """The confirmed trial, or the one with the highest objective, however it ended.

    Ties: the lower number.

    Returns:
        None if no trial of the journal finished an epoch.
    """
    events = list(events)
    params = _params(events)
    scored = _last_rows(events)
    if not scored:
        return None
    number, seed = max(scored, key=lambda n: (scored[n][BEST_OBJECTIVE], -n)), None
    row = scored[number]
    confirmation = read_confirmation(events)
    confirmed = None if confirmation is None else confirmation.winner
    if confirmed is not None:
        number, seed, row = confirmed.trial, confirmed.seed, confirmed.epochs[-1]
    return Winner(
        number=number,
        params=params[number],
        objective=row[BEST_OBJECTIVE],
        epoch=int(row["best/epoch"]),
        threshold=row["best/threshold"],
        seed=seed,
    )


def candidates(
    events: Iterable[Mapping[str, Any]], count: int
) -> tuple[tuple[int, ...], int | None]:
    """Whose configurations are to be confirmed: the `count` best, all different, and the paper's.

    Returns:
        Their numbers, the best first, and which of them has the paper's values: that of trial 0,
        or of a trial that ran it again; None where it was never begun.
    """
    events = list(events)
    params, scored = _params(events), _last_rows(events)
    chosen: list[int] = []
    for number in sorted(scored, key=lambda n: (-scored[n][BEST_OBJECTIVE], n)):
        if len(chosen) < count and params[number] not in [params[other] for other in chosen]:
            chosen.append(number)
    first = min(same_training(events, 0).intersection(params), default=None)
    if first is None or not chosen:
        return tuple(chosen), None
    paper = next((n for n in chosen if params[n] == params[first]), first)
    return (*chosen, *([paper] if paper not in chosen else [])), paper


def same_training(events: Iterable[Mapping[str, Any]], number: int) -> frozenset[int]:
    """The numbers under which trial `number` ran: interrupted, and run again."""
    same = {number}
    pairs = [(e["trial"], e["resumes"]) for e in events if e.get("resumes") is not None]
    while joined := [pair for pair in pairs if len(same.intersection(pair)) == 1]:
        same.update(*joined)
    return frozenset(same)


def drop_stale_weights(folder: Path) -> None:
    """Delete the weights in a search folder that are not of their trial's best epoch.

    Nobody may be training.
    """
    from trainable.weights import drop_stale

    rows = _last_rows(read_journal(folder / JOURNAL_FILE))
    wanted = {trial: _kept_epoch(row) for trial, row in rows.items()}
    with contextlib.suppress(OSError):  # what stays is looked at again before it is scored
        drop_stale(folder / WEIGHTS_FOLDER, wanted)


def drop_stale_weights_of(folder: Path, number: int, metrics: Mapping[str, Any] | None) -> None:
    """The same for one trial, without reading the journal, while others train.

    Args:
        folder: Of the search.
        number: Of the trial.
        metrics: Of its last epoch in the journal since it last started; None: there is none.
    """
    from trainable.weights import drop_stale

    wanted = {number: _kept_epoch(metrics)} if metrics and metrics.get("best/epoch") else {}
    with contextlib.suppress(OSError):
        drop_stale(folder / WEIGHTS_FOLDER, wanted, number=number)


def _kept_epoch(metrics: Mapping[str, Any]) -> "KeptEpoch":
    from trainable.weights import KeptEpoch

    return KeptEpoch(epoch=int(metrics["best/epoch"]), objective=metrics[BEST_OBJECTIVE])


def evaluate_on_test(
    config: Mapping[str, Any],
    data: EncodedDataset,
    weights: str | None,
    threshold: float,
    epoch: int,
) -> dict[str, Any]:
    """Score the test split with kept weights, or train them again.

    Args:
        config: `TrialConfig.to_mapping()` of the winner.
        data: As in the search.
        weights: File of the winner's best epoch; None: it is lost, and trained again.
        threshold: Chosen on validation at that epoch.
        epoch: That epoch, counted from 1.

    Returns:
        `trainable.evaluation.evaluation_report` with `intervals`; with `predictions`, those of the
        test documents, which are kept beside the report; with `validation`, the scores on the
        validation documents with one and with several labels, which no epoch records; with
        `retrained_objective`, the objective that came out, where it was trained again: the same as
        in the search on the same device. The threshold is then that of the new training.
    """
    from safetensors.torch import load_file

    from trainable.evaluation import evaluate, evaluation_report, with_intervals
    from trainable.loop import TrainingSession

    session = TrainingSession(TrialConfig.from_mapping(config), data)
    again: dict[str, Any] = {}
    if weights is None:
        for _ in range(epoch):
            metrics = session.run_epoch()
        threshold = metrics["val/threshold"]
        again = {"retrained_objective": metrics[OBJECTIVE]}
    else:
        session.model.load_state_dict(load_file(Path(weights)))
    on_val = evaluation_report(session.probabilities("val"), threshold=threshold, data=data)
    found = evaluate(
        session.probabilities("test"), threshold=threshold, data=data, documents=data.test_ids
    )
    parts = {name: on_val[name] for name in ("single_label", "multi_label") if name in on_val}
    report = {**with_intervals(found), "validation": parts, **again}
    return report if found.predictions is None else {**report, PREDICTIONS: found.predictions}


def _params(events: Iterable[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    return {e["trial"]: e["params"] for e in events if e["event"] == "trial_started"}


def _last_rows(events: Iterable[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """The last metrics of every trial that has a best epoch."""
    last: dict[int, Mapping[str, Any]] = {}
    for event in events:
        match event["event"]:
            case "epoch":
                last[event["trial"]] = event["metrics"]
            case "trial_restarted":
                last.pop(event["trial"], None)
    return {number: row for number, row in last.items() if row.get("best/epoch")}
