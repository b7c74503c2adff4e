"""A search over several losses, loss by loss: the best trial of each beside the paper's values.

All of it is of validation: the test set is opened for the best trial of all.
"""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from search.results import SearchRecord, TrialRecord
from search.words import in_percent
from spaces import AUTO, LOSS


def losses_in_numbers(record: SearchRecord) -> dict[str, Any]:
    """For summary.json: `by_loss`, in the order of the space; nothing of a search of one loss."""
    if record.spec.space.loss != AUTO:
        return {}
    return {"by_loss": {loss: _numbers(record, loss) for loss in record.spec.space.losses}}


def losses_ranked(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """`by_loss` of a summary, best loss first."""
    return sorted(summary["by_loss"].items(), key=lambda item: -(item[1]["objective"] or 0.0))


def losses_table(summary: Mapping[str, Any]) -> Table | None:
    """How many trials each loss had, its best one and the paper's values; best loss first.

    None where one loss was searched.
    """
    if "by_loss" not in summary:
        return None
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="by loss, validation (stopped trials: what they had reached)",
        title_justify="left",
    )
    table.add_column("loss", no_wrap=True)
    for name in ("trials", "completed", "paper's values", "best", "trial"):
        table.add_column(name, justify="right", no_wrap=True)
    for loss, row in losses_ranked(summary):
        best = row["trial"]
        table.add_row(
            loss,
            str(row["trials"]),
            str(row["completed"]),
            in_percent(row["paper_values"]),
            in_percent(row["objective"]),
            "-" if best is None else str(best),
            style="bold" if summary["best"] and best == summary["best"]["trial"] else "",
        )
    return table


def paper_trials(record: SearchRecord) -> dict[str, TrialRecord]:
    """The trial with the paper's values of each loss; a rerun in place of one that was cut off."""
    found: dict[str, TrialRecord] = {}
    places = dict(enumerate(record.spec.space.losses))
    for trial in record.trials:  # ascending: a rerun comes after what it reruns
        loss = places.get(trial.number)
        if trial.resumes is not None and trial.resumes in places:
            loss = places[trial.number] = places[trial.resumes]
        if loss is not None and trial.params.get(LOSS, loss) == loss:
            found[loss] = trial
    return found


def _numbers(record: SearchRecord, loss: str) -> dict[str, Any]:
    trials = [trial for trial in record.trials if trial.params.get(LOSS) == loss]
    scored = [trial for trial in trials if trial.best_epoch]
    best = max(scored, key=lambda t: (t.best_objective or 0.0, -t.number), default=None)
    paper = paper_trials(record).get(loss)
    return {
        "trials": sum(trial.status != "interrupted" for trial in trials),
        "completed": sum(trial.status == "completed" for trial in trials),
        "trial": None if best is None else best.number,
        "objective": None if best is None else best.best_objective,
        "paper_values": None if paper is None else paper.best_objective,
    }
