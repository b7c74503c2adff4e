"""Reuters-21578, ApteMod, with the split of Huang et al. 2021.

ApteMod: LEWISSPLIT TRAIN or TEST with TOPICS="YES"; the 90 topics with at least one training and
one test document; the documents with at least one of them: 7,770 / 3,019 (NLTK's copy: 7,769).
The split: documents in NUMERIC id order, then scikit-learn's
`train_test_split(random_state=123, test_size=1000)` (string order loses a label from training).
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np

from trainable.config import TrialConfig
from trainable.datasets.assemble import Document, assemble
from trainable.datasets.containers import Container, is_archive, open_container
from trainable.datasets.groups import paper_groups
from trainable.datasets.records import TextDataset
from trainable.datasets.reuters_files import ReutersDocument, read_layout
from trainable.errors import UsageError
from trainable.paths import expand

DATA_VARIABLE: Final = "REUTERS_DATA"
"""Environment variable that says where the corpus lies."""

VAL_DOCS: Final = 1000

PACKAGE_URL: Final = (
    "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/reuters.zip"
)
PACKAGE_MD5: Final = "c2acb24d5cccf8035e0fe8d29f440a68"
_PATIENCE_S: Final = 30.0
_SEEDS_TRIED: Final = 200


def load_reuters(config: TrialConfig, cache_dir: Path) -> TextDataset:
    """The corpus from `data_path`, $REUTERS_DATA, the cache or a download, in that order.

    Raises:
        UsageError: no data and no network; data that is missing, damaged or of another layout;
            a `split_seed` that takes a label's last training document.
    """
    path = config.data_path or os.environ.get(DATA_VARIABLE)
    where = expand(path, "--data") if path else _download(cache_dir)
    return build_reuters(read_reuters(where), source=str(where), split_seed=config.split_seed)


def read_reuters(path: Path) -> list[ReutersDocument]:
    """All documents with topics below `path` or one folder down, in numeric id order.

    Raises:
        UsageError: see `load_reuters`.
    """
    container = open_container(path)
    found = read_layout(container)
    if found is None and path.is_dir():
        for child in sorted(path.iterdir()):
            if is_archive(child) and found is None:
                found = read_layout(open_container(child))
    if found is None:
        raise UsageError(
            f"--data '{path}' is no copy of Reuters-21578: it must hold reut2-000.sgm .. "
            f"reut2-021.sgm, or cats.txt with training/ and test/; found {_some_of(container)}"
        )
    return sorted(found, key=lambda doc: doc.number)


def build_reuters(
    documents: Sequence[ReutersDocument], *, source: str, split_seed: int
) -> TextDataset:
    """Apply the rules of ApteMod and the paper's split to documents in numeric id order.

    Raises:
        UsageError: too few training documents, or a label lost from training (another seed that
            keeps them all is offered).
    """
    topics = _shared_topics(documents)
    kept = {"train": _with_topics(documents, topics, "train")}
    kept["test"] = _with_topics(documents, topics, "test")
    pool = kept["train"]
    if len(pool) <= VAL_DOCS:
        raise UsageError(
            f"dataset 'reuters' ({source}): the split takes {VAL_DOCS} training documents for "
            f"validation, but only {len(pool)} have topics: is the copy complete?"
        )
    train, val = paper_split(len(pool), split_seed)
    return assemble(
        name="reuters",
        source=source,
        splits={
            "train": [pool[number] for number in train],
            "val": [pool[number] for number in val],
            "test": kept["test"],
        },
        group_rule=paper_groups,
        advice=_other_seed(pool, topics, split_seed),
    )


def paper_split(num_docs: int, seed: int) -> tuple[list[int], list[int]]:
    """Training and validation indices, each in ascending order.

    The same documents as scikit-learn's `train_test_split(..., random_state=seed,
    test_size=1000)`, which takes the first of a legacy permutation, without its import of
    several seconds.
    """
    permutation = np.random.RandomState(seed).permutation(num_docs).tolist()
    return sorted(permutation[VAL_DOCS:]), sorted(permutation[:VAL_DOCS])


def _shared_topics(documents: Sequence[ReutersDocument]) -> set[str]:
    parts: dict[str, set[str]] = {"train": set(), "test": set()}
    for doc in documents:
        parts[doc.part].update(doc.topics)
    return parts["train"] & parts["test"]


def _with_topics(
    documents: Sequence[ReutersDocument], topics: set[str], part: Literal["train", "test"]
) -> list[Document]:
    kept = []
    for doc in documents:
        labels = tuple(topic for topic in doc.topics if topic in topics)
        if doc.part == part and labels:
            kept.append(Document(str(doc.number), doc.text, labels))
    return kept


def _other_seed(pool: Sequence[Document], topics: set[str], split_seed: int) -> str:
    for seed in range(split_seed + 1, split_seed + _SEEDS_TRIED):
        counts = Counter(
            label for number in paper_split(len(pool), seed)[0] for label in pool[number].labels
        )
        if all(counts[topic] for topic in topics):
            return f"take another split seed: {seed} keeps them all"
    return "take another split seed, such as the paper's 123"


def _download(cache_dir: Path) -> Path:
    try:
        import pooch

        found = pooch.retrieve(
            PACKAGE_URL,
            known_hash=f"md5:{PACKAGE_MD5}",
            fname="reuters.zip",
            path=cache_dir / "reuters",
            downloader=pooch.HTTPDownloader(progressbar=True, timeout=_PATIENCE_S),
        )
    except (ImportError, OSError, ValueError) as error:
        raise UsageError(
            f"dataset 'reuters' is not on this machine and could not be downloaded into "
            f"'{cache_dir}' ({_reason(error)}). Three ways out: --data PATH to a copy "
            f"(SGML or NLTK layout), {DATA_VARIABLE}=PATH in the environment, or a network for "
            "the download (6 MB)"
        ) from error
    return Path(found)


def _reason(error: Exception) -> str:
    # pooch's own complaint is several lines long
    return "wrong checksum" if isinstance(error, ValueError) else type(error).__name__


def _some_of(container: Container) -> str:
    shown = ", ".join(container.names[:3])
    return shown + (", ..." if len(container.names) > 3 else "")
