"""The test evaluation of a search's winner: a Ray task with the resources of a trial."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from search.confirm_folder import ConfirmFolder, drop_losers
from search.events import EventLog
from search.files import read_json, write_json
from search.journal import JOURNAL_FILE, read_journal
from search.outcome import outcome_of_error
from search.spec import SearchSpec
from search.winner import (
    PREDICTIONS,
    TEST_REPORT_FILE,
    WEIGHTS_FOLDER,
    Winner,
    choose_winner,
    same_training,
)
from trainable.encoded import EncodedDataset
from trainable.predictions import PREDICTIONS_FILE

if TYPE_CHECKING:
    from search.stopping import StopSwitch

_POLL_S: Final = 0.5

Evaluate = Callable[[Mapping[str, Any], EncodedDataset, str | None, float, int], dict[str, Any]]
"""(config, data, weights file, threshold, epoch) -> report; `search.winner.evaluate_on_test`."""


def test_is_due(folder: Path) -> bool:
    """Whether the search has a winner whose test scores nobody has seen."""
    winner = choose_winner(read_journal(folder / JOURNAL_FILE))
    return winner is not None and not _is_scored(folder, winner)


def score_winner(
    spec: SearchSpec,
    events: EventLog,
    data: EncodedDataset,
    evaluate: Evaluate,
    switch: "StopSwitch",
) -> str:
    """Score the winner on the test set, unless that was done; needs a running Ray instance.

    Returns:
        "", or in a few words why there are no test scores, or how they came about.
    """
    winner = choose_winner(read_journal(spec.folder / JOURNAL_FILE))
    if winner is None:
        return "no trial finished an epoch"
    if _is_scored(spec.folder, winner):
        return ""
    weights = find_weights(spec.folder, winner)
    try:
        report = _run_remotely(spec, winner, data, weights, evaluate, switch)
    except Exception as error:  # noqa: BLE001  whatever fails there, the search is done
        why = outcome_of_error(str(error)).reason
        return f"no test scores: {why if weights else f'{_lost(winner)}, and then: {why}'}"
    if report is None:
        return ""
    _save_report(spec.folder, events, winner, report)
    if winner.seed is not None:
        drop_losers(spec.folder, (winner.number, winner.seed))
    return "" if weights else _retrained(winner, report)


def find_weights(folder: Path, winner: Winner) -> Path | None:
    """The weights of the winner's best epoch; None where they were lost, or are of another.

    Where it was interrupted and ran again, either run may have left them.
    """
    from trainable.weights import KeptEpoch, kept_epoch, weights_path

    wanted = KeptEpoch(epoch=winner.epoch, objective=winner.objective)
    if winner.seed is None:
        numbers = sorted(same_training(read_journal(folder / JOURNAL_FILE), winner.number))
        paths = [weights_path(folder / WEIGHTS_FOLDER, number) for number in numbers]
    else:
        run = ConfirmFolder.of(folder, (winner.number, winner.seed))
        paths = [weights_path(run.weights, winner.number)]
    for path in paths:
        if kept_epoch(path) == wanted:
            return path
    return None


def _lost(winner: Winner) -> str:
    run = "" if winner.seed is None else f" with seed {winner.seed}"
    return (
        f"the weights of trial {winner.number}{run} after epoch {winner.epoch} were lost: "
        "it was trained again"
    )


def _retrained(winner: Winner, report: Mapping[str, Any]) -> str:
    got = report.get("retrained_objective", winner.objective)
    if got == winner.objective:
        return _lost(winner)
    return f"{_lost(winner)}, to {got:.4f} instead of {winner.objective:.4f} on validation"


def _run_remotely(
    spec: SearchSpec,
    winner: Winner,
    data: EncodedDataset,
    weights: Path | None,
    evaluate: Evaluate,
    switch: "StopSwitch",
) -> dict[str, Any] | None:
    """The report; None after Ctrl-C."""
    import ray

    task = ray.remote(evaluate).options(
        num_cpus=spec.cpus_per_trial, num_gpus=spec.gpus_per_trial, max_retries=1
    )
    config = spec.trial_config(winner.params, winner.seed).to_mapping()
    file = None if weights is None else str(weights)
    future = task.remote(config, data, file, winner.threshold, winner.epoch)
    while not ray.wait([future], timeout=_POLL_S)[0]:
        if switch.status == "interrupted":
            ray.cancel(future, force=True)
            return None
    return ray.get(future)


def _is_scored(folder: Path, winner: Winner) -> bool:
    report = read_json(folder / TEST_REPORT_FILE) or {}
    scored = (report.get("trial"), report.get("epoch"), report.get("seed"))
    return scored == (winner.number, winner.epoch, winner.seed)


def _save_report(folder: Path, events: EventLog, winner: Winner, report: Mapping[str, Any]) -> None:
    seed = {} if winner.seed is None else {"seed": winner.seed}
    head = {"trial": winner.number, "epoch": winner.epoch, **seed}
    report = dict(report)
    predictions = report.pop(PREDICTIONS, None)
    (folder / PREDICTIONS_FILE).unlink(missing_ok=True)  # of an earlier winner
    if predictions is not None:
        predictions.save(folder / PREDICTIONS_FILE)
    # the report last: it says that the winner was scored
    write_json(folder / TEST_REPORT_FILE, {**head, **report})
    events.emit(
        "test_evaluated",
        trial=winner.number,
        **seed,
        micro_f1=report["micro_f1"],
        macro_f1=report["macro_f1"],
    )
