"""A confirmation in numbers: the key `confirmation` of summary.json. Scores are in [0, 1]."""

import dataclasses
from typing import Any

from search.confirmation import Confirmation
from search.paired import LEVEL, Comparison
from search.results import SearchRecord, TrialRecord


def summarize_confirmation(record: SearchRecord) -> dict[str, Any] | None:
    """What was compared, and what came out; None where nothing was to be confirmed."""
    found = record.confirmation
    if found is None:
        return None
    ranking = found.ranking
    winner = ranking[0] if ranking else None
    runner_up = ranking[1] if len(ranking) > 1 else None
    return {
        "objective": record.spec.config.objective,
        "seeds": list(found.seeds),
        "compared": list(found.compared),
        "runs": len(found.pairs),
        "ended": len(found.pairs) - len(found.left),
        "epochs": sum(len(run.epochs) for run in found.runs.values()),
        "decided": found.decided,
        "winner": winner,
        "runner_up": runner_up,
        "candidates": [_candidate(record, found, trial) for trial in _in_order(found)],
        "against_paper_values": _comparison(found, winner, found.paper),
        "against_runner_up": _comparison(found, winner, runner_up),
    }


def pairs_with_paper(record: SearchRecord) -> list[tuple[TrialRecord, TrialRecord]]:
    """The best trial beside the paper's values: one pair, or one a seed if it was confirmed."""
    best, paper, found = record.best, record.paper, record.confirmation
    if best is None or paper is None:
        return []
    if best.seed is None or found is None:
        return [(best, paper)]
    runs = [[found.runs[trial, seed] for trial in _both(best, paper)] for seed in found.compared]
    return [
        (record.confirmed_run(ours), record.confirmed_run(theirs))
        for ours, theirs in runs
        if ours.completed and theirs.completed
    ]


def _both(best: TrialRecord, paper: TrialRecord) -> tuple[int, int]:
    return best.number, paper.number


def _in_order(found: Confirmation) -> list[int]:
    """The ranked ones first; the others by their place in the search."""
    ranking = found.ranking
    return [*ranking, *(trial for trial in found.trials if trial not in ranking)]


def _candidate(record: SearchRecord, found: Confirmation, number: int) -> dict[str, Any]:
    scores = found.scores(number)
    trial = next(trial for trial in record.trials if trial.number == number)
    broken = [
        {"seed": run.seed, "status": run.status, "reason": run.reason}
        for run in found.broken(number)
    ]
    return {
        "trial": number,
        "paper_values": number == found.paper,
        "params": dict(trial.params),
        "search_objective": trial.best_objective,
        "mean": found.mean(number),
        "sd": found.spread(number),
        "n": len(scores),
        "objectives": {str(seed): score for seed, score in scores.items()},
        "broken": broken,
    }


def _comparison(
    found: Confirmation, winner: int | None, other: int | None
) -> dict[str, Any] | None:
    """The winner minus another; None where it is the same one, or there is too little of either."""
    if winner is None or other is None or other == winner:
        return None
    compared = found.compare(winner, other)
    return None if compared is None else {"trial": other, **_values(compared)}


def _values(compared: Comparison) -> dict[str, Any]:
    return {
        **dataclasses.asdict(compared),
        "level": LEVEL,
        "smallest_p_flip": compared.smallest_p_flip,
        "within_noise": compared.within_noise,
    }
