"""The trials that no other trial beats in both scores: what a search for two of them has to offer.

Each trial stands for its best epoch, which is that of the highest mean of the two (DESIGN D6).
"""

from collections.abc import Sequence

from search.results import SearchRecord, TrialRecord


def pareto_front(record: SearchRecord) -> tuple[TrialRecord, ...]:
    """The front, from the highest first score to the highest second; empty without two scores.

    Of trials with equal scores the lowest number stands for all.
    """
    names = record.spec.pareto_scores
    scored = {t.number: scores_at_best(t, names) for t in record.trials if t.best_epoch}
    front: list[TrialRecord] = []
    highest = -1.0
    for trial in sorted(
        (t for t in record.trials if scored.get(t.number)),
        key=lambda t: (*(-score for score in scored[t.number]), t.number),
    ):
        second = scored[trial.number][1]
        if second > highest:
            front.append(trial)
            highest = second
    return tuple(front)


def scores_at_best(trial: TrialRecord, names: Sequence[str]) -> tuple[float, ...]:
    """Validation scores of the trial's best epoch, in [0, 1], by the names of objectives."""
    last = trial.epochs[-1]
    return tuple(float(last[f"best/{name}"]) for name in names)
