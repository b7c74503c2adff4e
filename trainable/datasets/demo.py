"""The demo corpus: a SYNTHETIC newswire of 2,000 short documents, written by this file.

No document is real; every name is invented. It exists so that a search can be tried without data:
label counts are long-tailed, labels co-occur within a family, and a share of the documents is
vague or mislabelled, so that no loss can be perfect and the tail is hard. The texts are the same
on every machine and for every seed; `split_seed` moves documents between training and validation.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from trainable.config import TrialConfig
from trainable.datasets import demo_words as words
from trainable.datasets.assemble import Document, assemble
from trainable.datasets.groups import tertile_groups
from trainable.datasets.records import TextDataset

_TEXT_SEED: Final = 20_210_907
_TEST_EVERY: Final = 5
_VAL_SHARE: Final = 0.15

_CO_OCCURS: Final = 0.45
"""A rarer label brings the common label of its family along."""
_CROSSES: Final = 0.12
"""A document also reports on the next family."""
_VAGUE: Final = 0.12
"""A sentence lacks the cue of its label."""
_STRAYS: Final = 0.10
"""A sentence mentions a cue of a label that the document does not have."""
_MISLABELLED: Final = 0.03
"""A label is given as a common one: that of its family or, for a common label, of the next."""
_FILLS: Final = 0.4
"""A document about one label closes with a sentence that says nothing."""
_MAX_WORDS: Final = 30


def load_demo(config: TrialConfig, cache_dir: Path) -> TextDataset:  # noqa: ARG001 - a loader
    """The synthetic newswire, split by `split_seed`; the test documents are always the same."""
    pool, test = _write()
    order = np.random.RandomState(config.split_seed).permutation(len(pool)).tolist()
    num_val = round(len(pool) * _VAL_SHARE)
    return assemble(
        name="demo",
        source="synthetic",
        splits={
            "train": [pool[number] for number in sorted(order[num_val:])],
            "val": [pool[number] for number in sorted(order[:num_val])],
            "test": test,
        },
        group_rule=tertile_groups,
        advice="take another split seed, such as 123",
    )


def _write() -> tuple[list[Document], list[Document]]:
    rng = random.Random(_TEXT_SEED)
    pool: list[Document] = []
    test: list[Document] = []
    plan = [
        (family, rank, number)
        for family, (_, topics) in enumerate(words.FAMILIES)
        for rank, topic in enumerate(topics)
        for number in range(topic.documents)
    ]
    rng.shuffle(plan)
    for place, (family, rank, number) in enumerate(plan):
        topics = _topics_of(rng, family, rank)
        document = Document(f"synthetic-{place:04}", _text(rng, topics), _labels(rng, topics))
        # every n-th document of each label is for test, so rare labels are tested too
        (test if number % _TEST_EVERY == _TEST_EVERY - 1 else pool).append(document)
    return pool, test


def _topics_of(rng: random.Random, family: int, rank: int) -> list[tuple[int, int]]:
    """The (family, rank) pairs that a document reports on, the leading one first."""
    topics = [(family, rank)]
    if rank > 0 and rng.random() < _CO_OCCURS:
        topics.append((family, 0))
    if rng.random() < _CROSSES:
        topics.append(((family + 1) % len(words.FAMILIES), 0))
    return topics


def _labels(rng: random.Random, topics: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    labels = set()
    for family, rank in topics:
        if rng.random() < _MISLABELLED:
            family, rank = (family + (rank == 0)) % len(words.FAMILIES), 0
        labels.add(words.FAMILIES[family].topics[rank].label)
    return tuple(sorted(labels))


def _text(rng: random.Random, topics: Sequence[tuple[int, int]]) -> str:
    sentences = [_sentence(rng, family, rank) for family, rank in topics]
    if len(sentences) == 1 and rng.random() < _FILLS:
        sentences.append(_fill(rng, rng.choice(words.FILLERS)))
    if rng.random() < _STRAYS:
        stray = rng.choice(rng.choice(words.FAMILIES).topics)
        sentences.append(f"some recalled {rng.choice(stray.cues)}")
    while len(" ".join(sentences).split()) > _MAX_WORDS:
        sentences.pop()
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def _sentence(rng: random.Random, family: int, rank: int) -> str:
    context, topics = words.FAMILIES[family]
    vague = rng.random() < _VAGUE
    template = rng.choice(words.VAGUE_SENTENCES if vague else words.SENTENCES)
    return _fill(rng, template, context=rng.choice(context), cue=rng.choice(topics[rank].cues))


def _fill(rng: random.Random, template: str, **phrases: str) -> str:
    name = rng.choice(words.NAME_STARTS) + rng.choice(words.NAME_ENDS)
    return template.format(
        company=f"{name} {rng.choice(words.NAME_KINDS)}",
        place=rng.choice(words.PLACES),
        change=rng.choice(words.CHANGES),
        period=rng.choice(words.PERIODS),
        number=rng.randint(2, 60),
        **phrases,
    )
