"""A stratified split of multi-label documents (Sechidis et al. 2011, iterative stratification)."""

import logging
from collections.abc import Sequence
from typing import Final

import numpy as np

_DENSE_CELLS: Final = 30_000_000
"""Documents x labels up to which the library's dense algorithm ends within about a minute."""

_log = logging.getLogger(__name__)


def stratified_folds(
    labels: Sequence[Sequence[int]], shares: Sequence[float], *, seed: int
) -> list[list[int]]:
    """Cut documents into folds whose sizes and label counts follow `shares`.

    The first fold is the training fold: every label keeps a document there, at the cost of the
    others. Beyond 30 million documents x labels the folds are plainly random (and that is logged):
    the library's algorithm is dense, and at such sizes chance does nearly as well.

    Args:
        labels: Label indices of each document; may be empty for some.
        shares: Of each fold; they add up to 1.
        seed: Of the shuffle and of ties.

    Returns:
        Ascending document indices of each fold; a fold may be empty for very small data.
    """
    num_labels = 1 + max((label for row in labels for label in row), default=0)
    if len(labels) * num_labels <= _DENSE_CELLS:
        fold_of = _iterative(labels, num_labels, shares, seed)
    else:
        _log.warning(
            "%d documents x %d labels are split at random: too many to stratify; "
            "a split column decides it exactly",
            len(labels),
            num_labels,
        )
        fold_of = _random(len(labels), shares, seed)
    _keep_in_training(labels, fold_of)
    return [np.flatnonzero(fold_of == fold).tolist() for fold in range(len(shares))]


def _iterative(
    labels: Sequence[Sequence[int]], num_labels: int, shares: Sequence[float], seed: int
) -> np.ndarray:
    from iterstrat.ml_stratifiers import IterativeStratification

    targets_NL = np.zeros((len(labels), num_labels), dtype=bool)
    for number, row in enumerate(labels):
        targets_NL[number, list(row)] = True
    rng = np.random.RandomState(seed)
    order_N = rng.permutation(len(labels))
    fold_of = np.empty(len(labels), dtype=np.int64)
    fold_of[order_N] = IterativeStratification(targets_NL[order_N], np.asarray(shares), rng)
    return fold_of


def _random(num_docs: int, shares: Sequence[float], seed: int) -> np.ndarray:
    bounds = np.round(np.cumsum(shares) * num_docs)
    place_N = np.random.RandomState(seed).permutation(num_docs)
    return np.searchsorted(bounds, place_N, side="right").clip(max=len(shares) - 1)


def _keep_in_training(labels: Sequence[Sequence[int]], fold_of: np.ndarray) -> None:
    trained = {
        label for row, fold in zip(labels, fold_of, strict=True) if fold == 0 for label in row
    }
    for number, row in enumerate(labels):
        if not trained.issuperset(row):
            fold_of[number] = 0
            trained.update(row)
