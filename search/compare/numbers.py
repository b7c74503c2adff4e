"""A comparison in numbers: its searches' records -> the content of comparison.json.

Scores are in [0, 1]. The test set was opened once for each search, for its winner (DESIGN D8), so
what tuning gained over the paper's values is told on validation; with other seeds, where the
search was confirmed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from search.baseline.folder import FoundBaseline
from search.compare.gather import Entry
from search.compare.pairs import RESAMPLES, SCORES, Model, PairOfModels, compare_all
from search.confirm_summary import pairs_with_paper
from search.paired import compare
from search.published import published_scores, why_unlike
from search.results import SearchRecord
from search.tables import start_words
from trainable.datasets.records import GROUPS
from trainable.predictions import Predictions

FORMAT: Final = "longtail-search/comparison"
ROWS: Final = ("total", *GROUPS)
KINDS: Final = ("single_label", "multi_label")


def comparison(
    name: str,
    entries: Sequence[Entry],
    svm: tuple[FoundBaseline, Predictions | None] | None,
    *,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """All that is to be said, as plain values.

    Args:
        name: Of the comparison.
        entries: Its searches, on the same data, in the order of the tables.
        svm: Of the same data; None: there is none.
        resamples: Of the test documents.
    """
    first = entries[0].record
    among, beside = _pairs(entries, svm, resamples)
    return {
        "format": FORMAT,
        "version": 1,
        "name": name,
        "dataset": first.spec.config.dataset,
        "fingerprint": first.dataset.get("fingerprint"),
        "objectives": list(dict.fromkeys(e.record.spec.config.objective for e in entries)),
        "budgets_differ": len({_budget(entry.record) for entry in entries}) > 1,
        "rows": [_row(entry) for entry in entries],
        "svm": None if svm is None else _svm(first, svm[0]),
        "pairs": [_pair(pair) for pair in among],
        "against_svm": [_pair(pair) for pair in beside],
        "without_predictions": [entry.label for entry in entries if entry.predictions is None],
        "resamples": resamples,
    }


def _row(entry: Entry) -> dict[str, Any]:
    record, summary = entry.record, entry.summary
    spec, best = record.spec, summary["best"]
    return {
        "label": entry.label,
        "loss": entry.loss,
        "search": spec.name,
        "status": record.status,
        "trials": summary["trials"]["total"],
        "epochs": summary["epochs"],
        "wall_s": summary["wall_s"],
        "seeds": len(_seeds(record).get(SCORES[0], ())) or 1,
        "params": best["params"],
        "trial": best["trial"],
        "start": start_words(record),
        "published": published_scores(spec.config.dataset, entry.loss),
        "unlike_published": list(why_unlike(spec.longest)),
        "paper_values": _blocks((summary["paper_values"] or {}).get("validation")),
        "tuned": _blocks(summary["validation"]),
        "test": _blocks(summary["test"]),
        "intervals": (summary["test"] or {}).get("intervals"),
        "test_evaluations": record.test_evaluations,
        "gain": {score: _gain(record, score) for score in SCORES},
    }


def _blocks(scores: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Micro- and macro-F1 in total, by group and by kind of document, where they are known."""
    if scores is None or scores.get("micro_f1") is None:
        return None
    blocks = {"total": scores, **{row: scores.get(row) for row in (*GROUPS, *KINDS)}}
    return {
        row: {score: block[score] for score in SCORES}
        for row, block in blocks.items()
        if block and block.get("micro_f1") is not None
    }


def _gain(record: SearchRecord, score: str) -> dict[str, Any] | None:
    """What tuning gained on validation: of one seed, or the mean over several with its interval."""
    best, paper = record.best, record.paper
    differences = [
        (float(ours.best_metrics[f"val/{score}"]), float(theirs.best_metrics[f"val/{score}"]))
        for ours, theirs in pairs_with_paper(record)
        if theirs.best_epoch
    ]
    if not differences or best is None or paper is None:
        return None
    same = best.number == paper.number
    ours, theirs = zip(*differences, strict=True)
    if len(differences) < 2 or same:
        mean = sum(ours) / len(ours) - sum(theirs) / len(theirs)
        return {"mean": mean, "n": len(differences), "paper_values_won": same}
    found = compare(ours, theirs)
    return {
        **dataclasses.asdict(found),
        "noise": found.within_noise,
        "paper_values_won": False,
    }


def _seeds(record: SearchRecord) -> dict[str, list[float]]:
    """Validation scores of the winner's configuration, one a seed; empty where not confirmed."""
    found, best = record.confirmation, record.best
    if found is None or best is None or best.seed is None:
        return {}
    runs = [found.runs[best.number, seed] for seed in found.compared]
    metrics = [record.confirmed_run(run).best_metrics for run in runs if run.completed]
    return {score: [float(row[f"val/{score}"]) for row in metrics] for score in SCORES}


def _pairs(
    entries: Sequence[Entry],
    svm: tuple[FoundBaseline, Predictions | None] | None,
    resamples: int,
) -> tuple[tuple[PairOfModels, ...], tuple[PairOfModels, ...]]:
    models = [
        Model(label=e.label, predictions=e.predictions, seeds=_seeds(e.record))
        for e in entries
        if e.predictions is not None
    ]
    if not models:
        return (), ()
    known = svm[1] if svm is not None else None
    against = None if known is None else Model(label="svm", predictions=known, fixed=True)
    return compare_all(models, against=against, resamples=resamples)


def _pair(pair: PairOfModels) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        **{
            score: {**dataclasses.asdict(found), "noise": found.noise}
            for score, found in pair.total.items()
        },
        "groups": {row: block for row, block in pair.rows.items() if row != "total"},
    }


def _svm(first: SearchRecord, found: FoundBaseline) -> dict[str, Any]:
    return {
        "folder": found.folder.name,
        "published": published_scores(first.spec.config.dataset, "svm"),
        "test": _blocks(found.test),
        "intervals": found.test.get("intervals"),
    }


def _budget(record: SearchRecord) -> tuple[Any, ...]:
    spec = record.spec
    return (
        *(spec.trials, spec.time_budget_s, spec.compute_budget_s, spec.patience),
        *(spec.longest.epochs, spec.grace_period, spec.reduction_factor, spec.sampler),
    )
