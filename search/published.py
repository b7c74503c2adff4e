"""The published Reuters-21578 results, to stand beside ours.

Huang, Giledereli, Koksal, Ozgur, Ozkirimli, "Balancing Methods for Multi-label Text Classification
with Long-Tailed Class Distribution", EMNLP 2021, tables 2 and 3 (test set; SVM and
BERT-base-cased).
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from search.results import SearchRecord
from search.spec import SearchSpec
from spaces import AUTO
from spaces.ranges import PAPER_LEARNING_RATE, PAPER_MU
from trainable.config import LOSS_HYPERPARAMETERS, PAPER_LOSS_VALUES, TrialConfig

SOURCE: Final = "Huang et al. 2021, table 2"
DATASET: Final = "reuters"
ENCODER: Final = "bert-base-cased"
EPOCHS: Final = 40


@dataclasses.dataclass(frozen=True, slots=True)
class PublishedRow:
    """Per cent, each a (micro-F1, macro-F1) pair on the test set."""

    total: tuple[float, float]
    head: tuple[float, float]
    medium: tuple[float, float]
    tail: tuple[float, float]


PUBLISHED: Final[Mapping[str, PublishedRow]] = MappingProxyType(
    {
        "svm": PublishedRow((87.60, 51.63), (89.87, 78.47), (66.92, 61.00), (22.54, 13.83)),
        "bce": PublishedRow((89.14, 47.32), (91.75, 82.81), (66.28, 57.26), (0.00, 0.00)),
        "fl": PublishedRow((89.97, 56.83), (91.83, 82.64), (76.16, 70.63), (27.40, 15.37)),
        "cb": PublishedRow((89.23, 52.96), (91.56, 80.44), (71.64, 66.61), (23.08, 9.93)),
        "r-fl": PublishedRow((89.47, 54.35), (91.59, 80.39), (72.86, 66.69), (25.00, 14.22)),
        "ntr-fl": PublishedRow((90.70, 60.70), (92.37, 82.65), (79.35, 75.34), (39.51, 22.33)),
        "db-0fl": PublishedRow((89.45, 57.98), (91.21, 82.05), (77.33, 71.11), (31.17, 19.05)),
        "cb-ntr": PublishedRow((90.74, 63.31), (92.46, 83.28), (78.42, 72.98), (46.32, 32.31)),
        "db": PublishedRow((90.62, 64.47), (92.14, 83.48), (80.25, 77.01), (48.89, 31.39)),
    }
)


PUBLISHED_BY_LABELS: Final[Mapping[str, tuple[tuple[float, float], tuple[float, float]]]] = (
    MappingProxyType(
        {
            "bce": ((94.11, 41.44), (76.26, 33.11)),
            "fl": ((94.81, 50.33), (77.54, 40.07)),
            "cb": ((94.10, 44.72), (77.27, 38.80)),
            "r-fl": ((95.21, 47.45), (74.29, 38.79)),
            "ntr-fl": ((95.42, 51.33), (78.85, 44.37)),
            "db-0fl": ((94.48, 51.80), (76.63, 42.26)),
            "cb-ntr": ((95.17, 51.08), (79.56, 49.94)),
            "db": ((94.49, 54.31), (81.17, 50.12)),
        }
    )
)
"""Table 3: documents with one label (2,583), and with several (436). It has no SVM."""


def published_scores(dataset: str, kind: str) -> dict[str, dict[str, float]] | None:
    """All published test scores of a loss, or of `svm`, in [0, 1] and in the shape of a report.

    Args:
        dataset: None are known but of Reuters.
        kind: The loss, or `svm`.
    """
    row = published_row(dataset, kind)
    if row is None:
        return None
    pairs = {"total": row.total, "head": row.head, "medium": row.medium, "tail": row.tail}
    kinds = zip(("single_label", "multi_label"), PUBLISHED_BY_LABELS.get(kind, ()), strict=False)
    return {
        name: {"micro_f1": micro / 100, "macro_f1": macro / 100}
        for name, (micro, macro) in {**pairs, **dict(kinds)}.items()
    }


def why_unlike(config: TrialConfig) -> tuple[str, ...]:
    """Why scores of this configuration cannot be held against the published ones, if they cannot.

    Args:
        config: The longest trial of a search.
    """
    limits = (config.max_train_docs, config.max_val_docs, config.max_test_docs)
    reasons = {
        "fewer documents": any(limits),
        f"the encoder {config.encoder}": config.encoder != ENCODER,
        "a frozen encoder": config.tune == "head",
        f"{config.max_length} word pieces": config.max_length < 512,
        f"at most {config.epochs} epochs": config.epochs < EPOCHS,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def published_row(dataset: str, loss: str) -> PublishedRow | None:
    """The published test results of `loss`; None where there are none."""
    return PUBLISHED.get(loss) if dataset == DATASET else None


def published_for(record: SearchRecord) -> tuple[str, PublishedRow | None]:
    """The loss of the best trial (of trial 0, before there is one), and its published results."""
    best, spec = record.best, record.spec
    loss = spec.trial_config({} if best is None else best.params).loss
    return loss, published_row(spec.config.dataset, loss)


def unlike_paper(spec: SearchSpec) -> tuple[str, ...]:
    """Settings in which trial 0 cannot have the paper's value: fixed elsewhere, or out of range.

    The mu that is searched is estimated by the paper's rule; a fixed one has to be the paper's.
    """
    if spec.space.loss == AUTO:
        found = (unlike_paper(spec.of_loss(loss)) for loss in spec.space.losses)
        return tuple(dict.fromkeys(name for names in found for name in names))
    paper = {"learning_rate": PAPER_LEARNING_RATE, "mu": PAPER_MU, **PAPER_LOSS_VALUES}
    own = LOSS_HYPERPARAMETERS[spec.config.loss]
    # the paper trains no head on frozen features: its learning rate says nothing there
    names = own if spec.config.tune == "head" else ("learning_rate", *own)
    fixed = [name for name in names if name not in spec.space.names]
    moved = [name for name in fixed if getattr(spec.config, name) not in {None, paper[name]}]
    return (*moved, *(name for name in spec.space.without_paper_value if name in names))
