"""The SVM of Huang et al. 2021: TF-IDF, one linear SVM a label, one shift of all hyper-planes.

A label is given where its decision value reaches the shift that gives the best micro-F1 on the
validation documents. Decisions are computed for a few documents at a time; the word matrix is
sparse; what grows with the labels is the weights, one vector of the vocabulary's size a label.

Shapes: N documents, B of a slice, L labels, S shifts.
"""

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import expit

from trainable.datasets.records import TextDataset, TextSplit
from trainable.errors import UserError
from trainable.predictions import LabelSets

SHIFTS: Final = tuple(step / 10 for step in range(-10, 11))
"""The published code's grid."""
SETTINGS: Final[dict[str, Any]] = {"C": 1.0, "max_iter": 10_000, "random_state": 123}
"""Of LinearSVC, as published; TfidfVectorizer has its defaults: lower-case unigrams."""
_SLICE_ELEMENTS: Final = 2**22
"""Of [B, L]: 32 MB of decision values."""

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Svm:
    """A trained one."""

    vectorizer: Any
    classifier: Any
    num_labels: int
    shift: float
    validation_micro_f1: float
    """At the shift, in [0, 1]."""

    def decisions(self, texts: Sequence[str]) -> Iterator[Floats]:
        """Decision values of consecutive documents, [B, L]; above 0 is the SVM's own yes."""
        return _decisions(self.vectorizer, self.classifier, self.num_labels, texts)


def fit(dataset: TextDataset) -> Svm:
    """Train on `train`, choose the shift on `val`.

    Raises:
        UserError: no word of the training texts can be counted.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    num_labels = len(dataset.label_names)
    vectorizer = TfidfVectorizer()
    try:
        words_NV = vectorizer.fit_transform(dataset.train.texts)
    except ValueError as error:
        raise UserError(
            f"no SVM: the training texts of {dataset.source} have no words ({error})"
        ) from None
    classifier = OneVsRestClassifier(LinearSVC(**SETTINGS))
    with warnings.catch_warnings():  # a label that every training document has: always given
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        classifier.fit(words_NV, _matrix(dataset.train, num_labels))
    decisions = _decisions(vectorizer, classifier, num_labels, dataset.val.texts)
    shift, micro = best_shift(decisions, _matrix(dataset.val, num_labels))
    return Svm(
        vectorizer=vectorizer,
        classifier=classifier,
        num_labels=num_labels,
        shift=shift,
        validation_micro_f1=micro,
    )


def best_shift(decisions: Iterator[Floats], true_NL: sparse.csr_array) -> tuple[float, float]:
    """The shift of the grid with the highest micro-F1, and that; of equals the nearest to 0."""
    hits_S, named_S, start = np.zeros(len(SHIFTS)), np.zeros(len(SHIFTS)), 0
    for decisions_BL in decisions:
        true_BL = true_NL[start : start + len(decisions_BL)].toarray() > 0
        start += len(decisions_BL)
        for place, shift in enumerate(SHIFTS):
            given_BL = decisions_BL >= shift
            hits_S[place] += (given_BL & true_BL).sum()
            named_S[place] += given_BL.sum() + true_BL.sum()
    micro_S = 2 * hits_S / np.maximum(named_S, 1)
    best = max(range(len(SHIFTS)), key=lambda s: (micro_S[s], -abs(SHIFTS[s]), -s))
    return SHIFTS[best], float(micro_S[best])


def as_probabilities(decisions_BL: Floats) -> npt.NDArray[np.float32]:
    """Decision values in (0, 1), in the same order, 0 at 0.5: for reports only, not calibrated."""
    return expit(decisions_BL).astype(np.float32)


def _decisions(
    vectorizer: Any, classifier: Any, num_labels: int, texts: Sequence[str]
) -> Iterator[Floats]:
    size = max(1, _SLICE_ELEMENTS // num_labels)
    for start in range(0, len(texts), size):
        words_BV = vectorizer.transform(texts[start : start + size])
        # of a single label scikit-learn gives a vector
        yield classifier.decision_function(words_BV).reshape(-1, num_labels)


def _matrix(split: TextSplit, num_labels: int) -> sparse.csr_array:
    return LabelSets.of(split.labels).matrix(num_labels).astype(np.int64)
