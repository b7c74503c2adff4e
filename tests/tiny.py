"""A tiny BERT and a tiny long-tailed dataset that it can learn: for tests that train.

The words are made up (`w0` .. `w39`); label l goes with the words `w(2l)` and `w(2l+1)`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from trainable.datasets.records import TextDataset, TextSplit
from trainable.encoded import EncodedDataset, EncodedSplit

TINY_WORDS = tuple(f"w{i}" for i in range(40))
TINY_LABELS = ("big", "good", "mean", "rare", "seldom")
TINY_MAX_POSITIONS = 64
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_GROUPS = ("head", "head", "medium", "tail", "tail")
_LABEL_ODDS = (0.55, 0.3, 0.2, 0.08, 0.06)


def tiny_vocab(words: Iterable[str] = TINY_WORDS) -> tuple[str, ...]:
    return (*_SPECIAL, *words)


def tiny_encoder(
    folder: Path,
    vocab: Sequence[str] | None = None,
    *,
    layers: int = 2,
    width: int = 32,
    seed: int = 0,
) -> Path:
    """Write a random BERT with a WordPiece tokenizer into `folder`; the same arguments, the
    same bytes."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocab = tiny_vocab() if vocab is None else vocab
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=TINY_MAX_POSITIONS,
        # wide enough that a few epochs teach it something
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
    return folder


def tiny_dataset(*, train: int = 60, val: int = 20, test: int = 20, seed: int = 0) -> TextDataset:
    """Long-tailed and learnable: 5 labels, 1 to 3 a document, each told by its two words."""
    rng = np.random.default_rng(seed)
    splits = {}
    for name, size in (("train", train), ("val", val), ("test", test)):
        labels = [_draw_labels(rng, n) for n in range(size)]
        splits[name] = TextSplit(
            ids=[f"{name}-{n}" for n in range(size)],
            texts=[_draw_text(rng, some) for some in labels],
            labels=labels,
        )
    content = json.dumps([[s.ids, s.texts, s.labels] for s in splits.values()])
    return TextDataset(
        name="tiny",
        source="synthetic",
        label_names=TINY_LABELS,
        groups=_GROUPS,
        group_rule="by hand",
        fingerprint=hashlib.sha256(content.encode()).hexdigest(),
        **splits,
    )


def tiny_encoded(
    *, train: int = 60, val: int = 20, test: int = 20, seed: int = 0, max_length: int = 32
) -> EncodedDataset:
    """`tiny_dataset` as word pieces of `tiny_encoder`'s vocabulary, without its tokenizer."""
    dataset = tiny_dataset(train=train, val=val, test=test, seed=seed)
    return EncodedDataset(
        name=dataset.name,
        fingerprint=f"{dataset.fingerprint}-{max_length}",
        label_names=dataset.label_names,
        groups=dataset.groups,
        pad_id=0,
        train=_encode(dataset.train, max_length),
        val=_encode(dataset.val, max_length),
        test=_encode(dataset.test, max_length),
    )


def with_features(data: EncodedDataset, num_features: int = 12) -> EncodedDataset:
    """Random features for heads."""
    rng = np.random.default_rng(0)

    def one(split: EncodedSplit) -> EncodedSplit:
        features = rng.normal(size=(len(split), num_features)).astype(np.float32)
        return dataclasses.replace(split, features=features)

    return dataclasses.replace(data, train=one(data.train), val=one(data.val), test=one(data.test))


def encoded_split(
    token_ids: Sequence[Sequence[int]], labels: Sequence[Sequence[int]]
) -> EncodedSplit:
    """A split from word pieces and labels per document."""
    return EncodedSplit(
        token_ids=_flat(token_ids, np.int32),
        token_offsets=_offsets(token_ids),
        label_ids=_flat(labels, np.int32),
        label_offsets=_offsets(labels),
    )


def _draw_labels(rng: np.random.Generator, n: int) -> tuple[int, ...]:
    # the first documents of every split carry one label each: no label is ever lost
    if n < len(TINY_LABELS):
        return (n,)
    drawn = np.flatnonzero(rng.random(len(TINY_LABELS)) < _LABEL_ODDS)[:3]
    return tuple(int(label) for label in drawn) or (0,)


def _draw_text(rng: np.random.Generator, labels: Sequence[int]) -> str:
    told = [2 * label + int(rng.integers(2)) for label in labels for _ in range(2)]
    noise = rng.integers(2 * len(TINY_LABELS), len(TINY_WORDS), size=int(rng.integers(2, 22)))
    words = [*told, *noise.tolist()]
    rng.shuffle(words)
    return " ".join(TINY_WORDS[word] for word in words)


def _encode(split: TextSplit, max_length: int) -> EncodedSplit:
    index = {word: i for i, word in enumerate(tiny_vocab())}
    cls, sep = index["[CLS]"], index["[SEP]"]
    documents = [
        [cls, *[index[word] for word in text.split()][: max_length - 2], sep]
        for text in split.texts
    ]
    return encoded_split(documents, split.labels)


def _flat(rows: Sequence[Sequence[int]], dtype: type) -> np.ndarray:
    flat = np.asarray([value for row in rows for value in row], dtype=dtype)
    flat.flags.writeable = False  # as in a memory map or Ray's object store
    return flat


def _offsets(rows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
