"""Head, medium and tail: the labels cut by how many training documents they have."""

from collections.abc import Sequence
from typing import NamedTuple

from trainable.datasets.records import Group

PAPER_HEAD_MIN = 35
PAPER_TAIL_MAX = 8
"""Bounds of Huang et al. 2021 for Reuters: head >= 35, medium 9..34, tail <= 8."""
_THIRDS = "thirds of the labels by training count"


class Groups(NamedTuple):
    """The group of each label, and the rule in words."""

    groups: tuple[Group, ...]
    rule: str


def paper_groups(counts: Sequence[int]) -> Groups:
    """Cut by the paper's bounds for Reuters."""
    return _cut(counts, tail_max=PAPER_TAIL_MAX, head_min=PAPER_HEAD_MIN, why="the paper's bounds")


def tertile_groups(counts: Sequence[int]) -> Groups:
    """Cut into thirds of the labels by training count; equal counts share a group.

    With three or more distinct counts no group is empty, whatever the ties.

    >>> tertile_groups([1, 2, 3, 5, 8, 13]).groups
    ('tail', 'tail', 'medium', 'medium', 'head', 'head')
    >>> tertile_groups([4, 4, 4]).groups
    ('medium', 'medium', 'medium')
    """
    distinct = sorted(set(counts))
    if len(distinct) == 1:
        tail_max, head_min = distinct[0] - 1, distinct[0] + 1
    elif len(distinct) == 2:
        tail_max, head_min = distinct
    else:
        ordered = sorted(counts)
        third = len(ordered) // 3
        # a distinct count stays below, between and above the bounds
        tail_max = min(ordered[third - 1], distinct[-3])
        head_min = max(ordered[-third], distinct[distinct.index(tail_max) + 2])
    return _cut(counts, tail_max=tail_max, head_min=head_min, why=_THIRDS)


def _cut(counts: Sequence[int], *, tail_max: int, head_min: int, why: str) -> Groups:
    groups: list[Group] = []
    for count in counts:
        groups.append("head" if count >= head_min else "tail" if count <= tail_max else "medium")
    medium = f"{tail_max + 1}..{head_min - 1}" if tail_max + 1 < head_min else "none"
    rule = f"head >= {head_min}, medium {medium}, tail <= {tail_max} training documents ({why})"
    return Groups(tuple(groups), rule)
