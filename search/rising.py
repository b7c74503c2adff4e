"""Which trials ASHA stopped while their curve was still rising: the ones it may have wronged.

A trial was rising if it gained more in its last two epochs than chance explains. Chance is `NOISE`,
or the largest fall from one epoch to the next that this trial had, if that is more: a curve that
has wandered so far before may only wander again. Two epochs, because most trials are stopped at
the first rung and have no more to show.

On real curves nearly all that the first rung stops are rising, and they are the less likely to end
among the best, since who starts low rises fast (docs/LOG.md). So those among them are told apart
that were catching up: at its pace and that of the search's best trial at the same epoch, such a
trial would have drawn level within two epochs. Four times as many of these end in the top tenth.
"""

import itertools
from collections.abc import Sequence
from typing import Final

from search.results import SearchRecord, TrialRecord
from trainable.config import OBJECTIVE

NOISE: Final = 0.004
"""Of a validation score: smaller differences are those of another seed (DESIGN, section 5)."""
_EPOCHS: Final = 2
"""That a pace is measured over, and for which it is believed."""


def still_rising(scores: Sequence[float]) -> bool:
    """Whether a curve with these scores by epoch was rising at its end; at least two are needed.

    >>> still_rising([0.70, 0.75, 0.77]), still_rising([0.70, 0.76, 0.763, 0.761])
    (True, False)
    """
    if len(scores) < 2:
        return False
    largest_fall = max(before - after for before, after in itertools.pairwise(scores))
    return _gain(scores) > max(NOISE, largest_fall)


def catching_up(scores: Sequence[float], best: Sequence[float]) -> bool:
    """Whether a curve was rising, and fast enough to draw level with `best` within two epochs.

    Args:
        scores: By epoch, to the one it was stopped on.
        best: Of the best trial; longer, or no answer is possible and it is no.

    >>> catching_up([0.50, 0.60, 0.70], best=[0.70, 0.72, 0.74, 0.75])
    True
    """
    if not still_rising(scores) or len(best) <= len(scores):
        return False
    then = best[: len(scores)]
    return then[-1] - scores[-1] <= _gain(scores) - _gain(then)


def rising_trials(record: SearchRecord) -> list[int]:
    """Numbers of the trials that ASHA stopped while they were rising, ascending."""
    return [trial.number for trial in _stopped(record) if still_rising(_scores(trial))]


def trials_catching_up(record: SearchRecord) -> list[int]:
    """Numbers of those that were catching up with the best trial, ascending."""
    if record.best is None:
        return []
    best = _scores(record.best)
    return [trial.number for trial in _stopped(record) if catching_up(_scores(trial), best)]


def _gain(scores: Sequence[float]) -> float:
    """In the last two epochs, or what there is of them."""
    return scores[-1] - scores[max(0, len(scores) - 1 - _EPOCHS)]


def _stopped(record: SearchRecord) -> list[TrialRecord]:
    return [trial for trial in record.trials if trial.status == "stopped"]


def _scores(trial: TrialRecord) -> list[float]:
    return [float(row[OBJECTIVE]) for row in trial.epochs]
