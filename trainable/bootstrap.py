"""How sure a test score is: intervals from resampled test documents, of one model or of two.

A resample draws as many documents as there are, with replacement; every score is then computed
from the counts of its documents, for all resamples of a chunk by one sparse product. It says how
the score may vary with the test documents: not what another training seed would give.

The ends are the percentiles of the resamples' distances from their own mean, laid around the score.
A resample lacks some rare labels' few documents, so its macro-F1 lies lower than that of all
documents: plain percentiles and bias-corrected ones (Efron) held the expected macro-F1 of the SVM
on Reuters in 75 and 67 of 100 simulated test sets, these in 90 (docs/LOG.md). For the tail alone,
where a label has two documents, it is 85: an interval of few documents is too narrow.

Shapes: N documents, L labels, A labels with a true positive, R resamples, G rows (total, head,
medium, tail).
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from trainable.datasets.records import GROUPS
from trainable.errors import UsageError
from trainable.predictions import LabelSets, Predictions

LEVEL: Final = 0.95
RESAMPLES: Final = 1000
SEED: Final = 0
_CHUNK_ELEMENTS: Final = 2**23
"""Of the dense [N or L, R] matrices: 64 MB each."""

Floats = npt.NDArray[np.float64]
_SCORES: Final = ("micro_f1", "macro_f1")


def intervals(
    predictions: Predictions, *, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, Any]:
    """Intervals of micro- and macro-F1, in all and of each group that has labels.

    Args:
        predictions: of at least one document.
        resamples: R; more make the ends steadier, not nearer.
        seed: of the draws.

    Returns:
        `level`, `resamples`, and for `total`, `head`, `medium`, `tail` the two scores' `[low,
        high]` in [0, 1]. Ready for JSON. The same arguments give the same numbers.
    """
    counts = _Counts.of(predictions)
    weights = _Resamples(len(predictions.documents), resamples, seed)
    [drawn_RGS] = _draw([counts], weights)
    [seen_GS] = counts.scores(np.ones((len(predictions.documents), 1)))
    return _head(resamples) | {
        row: {
            score: _interval(drawn_RGS[:, g, s], seen_GS[g, s]) for s, score in enumerate(_SCORES)
        }
        for g, row in enumerate(counts.rows)
    }


def paired_intervals(
    first: Predictions, second: Predictions, *, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, Any]:
    """Intervals of the differences first minus second; both see the same resamples.

    What a document does to both models cancels out, so these are much narrower than two
    intervals side by side.

    Args:
        first: of any model.
        second: of another on the same documents, in any order, with the same labels.
        resamples: R.
        seed: of the draws.

    Returns:
        As of `intervals`, but for each score `difference`, `low`, `high` and `p`: twice the share
        of (moved) resamples on the smaller side of 0, from 2 / (resamples + 1) to 1.

    Raises:
        UsageError: they are not of the same documents, labels and truth.
    """
    return all_paired_intervals([first, second], resamples=resamples, seed=seed)[0, 1]


def all_paired_intervals(
    models: Sequence[Predictions], *, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[tuple[int, int], dict[str, Any]]:
    """`paired_intervals` of each model minus each later one, by their places.

    All of them see the same resamples, so each model is scored once, whatever their number.

    Raises:
        UsageError: they are not of the same documents, labels and truth.
    """
    counts = [_Counts.of(aligned(model, models[0])) for model in models]
    num_docs = len(models[0].documents)
    drawn = _draw(counts, _Resamples(num_docs, resamples, seed))
    seen = [one.scores(np.ones((num_docs, 1)))[0] for one in counts]
    return {
        (i, j): _head(resamples)
        | {
            row: {
                score: _difference(
                    drawn[i][:, g, s] - drawn[j][:, g, s], float(seen[i][g, s] - seen[j][g, s])
                )
                for s, score in enumerate(_SCORES)
            }
            for g, row in enumerate(counts[0].rows)
        }
        for i, j in itertools.combinations(range(len(models)), 2)
    }


def aligned(predictions: Predictions, to: Predictions) -> Predictions:
    """The predictions in the order of documents and labels of `to`.

    Raises:
        UsageError: other documents, other labels, or another truth.
    """
    if sorted(predictions.label_names) != sorted(to.label_names):
        raise UsageError("the two models have other labels: compare models of one dataset")
    place = {name: n for n, name in enumerate(predictions.documents)}
    if len(place) != len(to.documents) or any(name not in place for name in to.documents):
        raise UsageError(
            f"the two models were scored on other documents ({len(predictions.documents)} and "
            f"{len(to.documents)}): score both on the same data and split"
        )
    order = np.array([place[name] for name in to.documents], dtype=np.int64)
    labels = {name: label for label, name in enumerate(to.label_names)}
    moved = np.array([labels[name] for name in predictions.label_names], dtype=np.int32)
    same = dataclasses.replace(
        to,
        threshold=predictions.threshold,
        predicted=_moved(predictions.predicted, order, moved),
        true=_moved(predictions.true, order, moved),
    )
    if not (
        np.array_equal(same.true.ids, to.true.ids)
        and np.array_equal(same.true.offsets, to.true.offsets)
    ):
        raise UsageError("the two models were scored on other true labels of the same documents")
    return same


def _moved(
    sets: LabelSets, order: npt.NDArray[np.int64], labels: npt.NDArray[np.int32]
) -> LabelSets:
    matrix = sparse.csr_array(
        (np.ones(len(sets.ids)), labels[sets.ids], sets.offsets), shape=(len(sets), len(labels))
    )
    # the fancy index copies: what is sorted is not what was given
    matrix = matrix[order]
    matrix.sort_indices()
    return LabelSets(ids=matrix.indices.astype(np.int32), offsets=matrix.indptr.astype(np.int64))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Counts:
    """Sparse counts of each document, from which all scores of a resample follow."""

    rows: tuple[str, ...]
    hits_AN: sparse.csr_array
    """True positives of the labels that have any; the others' F1 is 0 in every resample."""
    named_AN: sparse.csr_array
    """Predictions and positives of the same labels: the denominator of F1."""
    shares_AG: Floats
    """1 / (labels of the row) where the label belongs to the row: F1 -> macro-F1."""
    hits_NG: Floats
    named_NG: Floats
    """The same counts summed over the labels of each row: micro-F1."""

    @classmethod
    def of(cls, predictions: Predictions) -> "_Counts":
        num_labels = len(predictions.label_names)
        predicted_NL = predictions.predicted.matrix(num_labels)
        true_NL = predictions.true.matrix(num_labels)
        hits_NL, named_NL = predicted_NL * true_NL, predicted_NL + true_NL
        groups = np.asarray(predictions.groups)
        rows = ("total", *(group for group in GROUPS if (groups == group).any()))
        member_LG = np.stack(
            [np.ones(num_labels), *((groups == row).astype(float) for row in rows[1:])], axis=1
        )
        active = np.flatnonzero(np.asarray(hits_NL.sum(axis=0)))
        return cls(
            rows=rows,
            hits_AN=sparse.csr_array(hits_NL[:, active].T),
            named_AN=sparse.csr_array(named_NL[:, active].T),
            shares_AG=member_LG[active] / member_LG.sum(axis=0),
            hits_NG=hits_NL @ member_LG,
            named_NG=named_NL @ member_LG,
        )

    @property
    def num_active(self) -> int:
        """Labels with a true positive, A."""
        return int(self.hits_AN.shape[0])

    def scores(self, weights_NR: Floats) -> Floats:
        """Micro- and macro-F1 of each row, [R, G, 2]."""
        f1_AR = _f1(self.hits_AN @ weights_NR, self.named_AN @ weights_NR)
        micro_RG = _f1(weights_NR.T @ self.hits_NG, weights_NR.T @ self.named_NG)
        return np.stack([micro_RG, f1_AR.T @ self.shares_AG], axis=2)


def _f1(hits: Floats, named: Floats) -> Floats:
    return 2 * hits / np.maximum(named, 1)


class _Resamples:
    """How often each document was drawn, a chunk of resamples at a time."""

    def __init__(self, num_docs: int, resamples: int, seed: int) -> None:
        self.num_docs, self.resamples, self.seed = num_docs, resamples, seed

    def chunks(self, rows: int) -> Iterator[Floats]:
        """Yields [N, R of the chunk], at most 2^23 numbers, nor more than `rows` allows [rows, R].

        The chunk's size changes nothing of what is drawn.
        """
        rng = np.random.default_rng(self.seed)
        size = max(1, _CHUNK_ELEMENTS // max(1, self.num_docs, rows))
        for start in range(0, self.resamples, size):
            count = min(size, self.resamples - start)
            weights_RN = np.empty((count, self.num_docs))
            for row in range(count):
                drawn = rng.integers(self.num_docs, size=self.num_docs)
                weights_RN[row] = np.bincount(drawn, minlength=self.num_docs)
            yield weights_RN.T


def _draw(models: Sequence[_Counts], weights: _Resamples) -> list[Floats]:
    """The scores of each model in the same resamples, [R, G, 2] each."""
    found: list[list[Floats]] = [[] for _ in models]
    for weights_NR in weights.chunks(max(counts.num_active for counts in models)):
        for counts, scores in zip(models, found, strict=True):
            scores.append(counts.scores(weights_NR))
    return [np.concatenate(scores) for scores in found]


def _head(resamples: int) -> dict[str, Any]:
    return {"level": LEVEL, "resamples": resamples}


def _centred(drawn_R: Floats, seen: float) -> Floats:
    """The resamples' scores, moved so that their mean is the score itself."""
    return drawn_R - drawn_R.mean() + seen


def _interval(drawn_R: Floats, seen: float) -> list[float]:
    low, high = np.quantile(_centred(drawn_R, seen), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [max(0.0, float(low)), min(1.0, float(high))]


def _difference(drawn_R: Floats, seen: float) -> dict[str, float]:
    moved_R = _centred(drawn_R, seen)
    low, high = np.quantile(moved_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    side = min(np.sum(moved_R <= 0), np.sum(moved_R >= 0))
    p = min(1.0, 2 * (float(side) + 1) / (len(drawn_R) + 1))
    return {"difference": seen, "low": float(low), "high": float(high), "p": p}
