"""What a trial is judged by: one score of the validation documents, or the mean of several.

An objective is written as score names joined by `+`: `micro_f1`, `macro_f1`, `tail_micro_f1`
(micro-F1 over the tail labels), or a mean such as `micro_f1+macro_f1`. `mean` stands for all three.
The single global threshold is the one at which the objective itself is highest (DESIGN D5). Imports
no torch before it computes: the command line reads the names.

Shapes: L labels, K thresholds.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from trainable.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

    from trainable.datasets.records import Group
    from trainable.thresholds import Counts

SCORE_KEYS: Final = MappingProxyType(
    {"micro_f1": "val/micro_f1", "macro_f1": "val/macro_f1", "tail_micro_f1": "val/tail/micro_f1"}
)
"""Each score that an objective may name, and its metric."""

MICRO_F1: Final = SCORE_KEYS["micro_f1"]
MEAN: Final = "mean"
_WORDS: Final = MappingProxyType(
    {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "tail_micro_f1": "tail micro-F1"}
)


def scores_of(objective: str) -> tuple[str, ...]:
    """The names of the scores of which an objective is the mean.

    >>> scores_of("micro_f1+macro_f1")
    ('micro_f1', 'macro_f1')

    Raises:
        UsageError: an unknown name, or one twice.
    """
    names = tuple(SCORE_KEYS) if objective == MEAN else tuple(objective.split("+"))
    for name in names:
        if name not in SCORE_KEYS:
            raise unknown_name("objective", name, (*SCORE_KEYS, MEAN))
    if len(set(names)) < len(names):
        raise UsageError(f"objective '{objective}' names a score twice: name each once")
    return names


def objective_words(objective: str, *, short: bool = False) -> str:
    """An objective for people.

    >>> objective_words("micro_f1"), objective_words("micro_f1+macro_f1")
    ('micro-F1', 'mean of micro-F1 and macro-F1')
    >>> objective_words("mean", short=True)
    'mean F1'
    """
    words = [_WORDS[name] for name in scores_of(objective)]
    if len(words) == 1:
        return words[0]
    if short:
        return "mean F1"
    return f"mean of {', '.join(words[:-1])} and {words[-1]}"


def objective_curve(objective: str, counts: "Counts", groups: Sequence["Group"]) -> "Tensor":
    """The objective at every threshold, float64 in [0, 1], [K].

    Args:
        objective: see the module.
        counts: of the validation documents.
        groups: the group of each label, [L]. Without tail labels the tail's score is 0.
    """
    import torch

    curves = [_score_curve(name, counts, groups) for name in scores_of(objective)]
    return torch.stack(curves).mean(dim=0)


def _score_curve(name: str, counts: "Counts", groups: Sequence["Group"]) -> "Tensor":
    import torch

    from trainable.thresholds import Counts, macro_f1_curve, micro_f1_curve

    if name == "micro_f1":
        return micro_f1_curve(counts)
    if name == "macro_f1":
        return macro_f1_curve(counts)
    tail = torch.tensor([label for label, group in enumerate(groups) if group == "tail"])
    tail = tail.long()
    parts = (counts.tp_KL, counts.fp_KL, counts.fn_KL)
    return micro_f1_curve(Counts(*(part[:, tail] for part in parts)))
