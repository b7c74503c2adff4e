"""The numbers of a finished search: summary.json and trials.csv, from its record alone.

The test set is opened for the chosen configuration only (DESIGN D8), so the gain over the paper's
values is a gain on validation.
"""

import collections
import csv
import io
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from search.baseline.beside import summarize_baselines
from search.by_loss import losses_in_numbers
from search.confirm_summary import pairs_with_paper, summarize_confirmation
from search.files import write_json
from search.pareto import pareto_front, scores_at_best
from search.results import SearchRecord, TrialRecord
from search.rising import rising_trials, trials_catching_up
from trainable.datasets.records import GROUPS
from trainable.paths import write_text

SUMMARY_NAME: Final = "summary.json"
TRIALS_NAME: Final = "trials.csv"
SCORES: Final = ("micro_f1", "macro_f1")


def summarize(record: SearchRecord) -> dict[str, Any]:
    """The content of summary.json; every score is in [0, 1], None where there is none."""
    spec, best, paper = record.spec, record.best, record.paper
    return {
        "format": "longtail-search/summary",
        "version": 1,
        "name": spec.name,
        "fingerprint": spec.fingerprint,
        "status": record.status,
        "reason": record.reason,
        "dataset": spec.config.dataset,
        "loss": spec.space.loss,
        **losses_in_numbers(record),
        "encoder": spec.config.encoder,
        "best": _trial(best) if best else None,
        "validation": {**_validation(best), **_by_labels_of_document(record)} if best else None,
        "test": _test(record.test_report),
        "test_evaluations": record.test_evaluations,
        "baselines": summarize_baselines(record),
        "paper_values": {**_trial(paper), "validation": _validation(paper)} if paper else None,
        "gain_over_paper_values": _gain(record),
        "confirmation": summarize_confirmation(record),
        "objective": spec.config.objective,
        **_pareto(record),
        "accepted_changes": [dict(change) for change in record.accepted_changes],
        "trials": _counts(record),
        "rising_at_stop": rising_trials(record),
        "catching_up_at_stop": trials_catching_up(record),
        "epochs": record.epochs_spent,
        "wall_s": round(record.wall_s, 3),
    }


def _by_labels_of_document(record: SearchRecord) -> dict[str, Any]:
    """Validation scores of single- and multi-label documents: known once the winner was scored."""
    return dict((record.test_report or {}).get("validation", {}))


def write_summary(record: SearchRecord) -> dict[str, Any]:
    """Write summary.json and trials.csv into the search folder; returns the summary."""
    summary = summarize(record)
    write_json(record.folder / SUMMARY_NAME, summary)
    write_trials(record, record.folder / TRIALS_NAME)
    return summary


def write_trials(record: SearchRecord, path: Path) -> None:
    """`trial_rows` as CSV."""
    columns, rows = trial_rows(record)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def trial_rows(record: SearchRecord) -> tuple[list[str], list[list[Any]]]:
    """The columns and a row a trial: how it ended, its best epoch, what was sampled.

    None where there is nothing.
    """
    scores = [f"val/{score}" for score in SCORES]
    groups = [f"val/{group}/{score}" for group in GROUPS for score in SCORES]
    params = list(dict.fromkeys(name for trial in record.trials for name in trial.params))
    head = ["trial", "attempt", "status", "reason", "restarts", "epochs"]
    head += ["objective", "best_epoch", "threshold"]
    columns = [*head, *scores, *groups, "seconds", *(f"params/{name}" for name in params)]
    rows = [
        [
            *(trial.number, trial.attempt, trial.status, trial.reason),
            *("; ".join(trial.restarts), len(trial.epochs)),
            *(trial.best_objective, trial.best_epoch, trial.best_threshold),
            *(trial.best_metrics.get(name) for name in (*scores, *groups)),
            round(trial.ended - trial.started, 3) if trial.ended else None,
            *(trial.params.get(name) for name in params),
        ]
        for trial in record.trials
    ]
    return columns, rows


def _trial(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "seed": trial.seed,
        "status": trial.status,
        "params": dict(trial.params),
        "objective": trial.best_objective,
        "epoch": trial.best_epoch,
        "threshold": trial.best_threshold,
    }


def _validation(trial: TrialRecord) -> dict[str, Any]:
    """Scores of the best epoch, in the shape of the test report's."""
    metrics = trial.best_metrics
    scores = {
        name: metrics.get(f"val/{name}")
        for name in (*SCORES, *(f"{score}_at_0.5" for score in SCORES))
    }
    return scores | {
        group: {score: metrics.get(f"val/{group}/{score}") for score in SCORES} for group in GROUPS
    }


def _test(report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The report without its long parts, and without what is not of the test set."""
    if report is None:
        return None
    other = {"per_label", "threshold_curve", "validation"}
    return {key: value for key, value in report.items() if key not in other}


def _gain(record: SearchRecord) -> dict[str, float] | None:
    """Validation score of the best trial minus that of trial 0, at the best epoch of each.

    Of a confirmed one it is the mean over the seeds.
    """
    gains = [
        {score: _validation(ours)[score] - _validation(theirs)[score] for score in SCORES}
        for ours, theirs in pairs_with_paper(record)
        if theirs.best_epoch
    ]
    if not gains:
        return None
    return {score: statistics.fmean(gain[score] for gain in gains) for score in SCORES}


def _pareto(record: SearchRecord) -> dict[str, Any]:
    """The front, where two scores are traded off."""
    names = record.spec.pareto_scores
    if not names:
        return {}
    return {
        "pareto_front": [
            {"trial": trial.number, **dict(zip(names, scores_at_best(trial, names), strict=True))}
            for trial in pareto_front(record)
        ]
    }


def _counts(record: SearchRecord) -> dict[str, int]:
    counts = collections.Counter(trial.status for trial in record.trials)
    return {"total": len(record.trials), **dict(sorted(counts.items()))}
