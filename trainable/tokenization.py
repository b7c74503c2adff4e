"""Texts to word pieces, once: flat arrays that are memory-mapped from the cache ever after.

The tokenizer is what transformers' AutoTokenizer builds, so that the exported model folder reads
a text exactly as training did: `tokenizers` reading tokenizer.json by itself starts 4 s faster,
but ignores `do_lower_case` of tokenizer_config.json. On a cache hit neither is imported.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from trainable.array_cache import ArrayCache, Arrays
from trainable.datasets.cache import default_cache_dir
from trainable.datasets.records import SPLITS, TextDataset
from trainable.encoded import EncodedDataset, EncodedSplit
from trainable.encoders import check_max_length, resolve_encoder
from trainable.errors import UsageError, first_line

_FORMAT: Final = "2"
"""Raise it when the meaning of the cached arrays changes."""

_CHUNK: Final = 1024
"""Documents given to the tokenizer at once: it spreads them over the cores."""

_LONGEST: Final = 2**31
"""A tokenizer that was saved without a limit says 10**30, which its backend does not take."""

_TOKENIZER_FILES: Final = (
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextReader:
    """Texts to word pieces with the tokenizer of a folder."""

    backend: Any
    """Of `tokenizers`; cuts at `max_length` and does not pad."""
    pad_id: int
    max_length: int
    """Word pieces kept of a document, [CLS] and [SEP] included."""

    @classmethod
    def load(cls, folder: Path, max_length: int | None = None) -> Self:
        """Read the tokenizer in `folder`.

        Args:
            folder: of an encoder or a trained model.
            max_length: None: what the tokenizer was saved with.

        Raises:
            UsageError: it cannot be read, or is not a BERT's.
        """
        tokenizer = _load_tokenizer(folder)
        if tokenizer.pad_token_id is None:
            raise UsageError(
                f"the tokenizer in '{folder}' has no padding token: a BERT's has [PAD]"
            )
        length = tokenizer.model_max_length if max_length is None else max_length
        backend = tokenizer.backend_tokenizer
        backend.enable_truncation(min(length, _LONGEST))
        backend.no_padding()
        return cls(backend=backend, pad_id=int(tokenizer.pad_token_id), max_length=length)

    def __call__(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Word pieces [T] of all texts, and where each text's begin [N + 1]."""
        ids, lengths = [np.empty(0, dtype=np.int32)], [0]
        for start in range(0, len(texts), _CHUNK):
            for encoding in self.backend.encode_batch_fast(list(texts[start : start + _CHUNK])):
                ids.append(np.asarray(encoding.ids, dtype=np.int32))
                lengths.append(len(encoding.ids))
        return np.concatenate(ids), np.cumsum(lengths, dtype=np.int64)


def encode_dataset(
    dataset: TextDataset, *, encoder: str, max_length: int, cache_dir: Path | None = None
) -> EncodedDataset:
    """Tokenise every split of `dataset`, or map the arrays of an earlier call.

    Args:
        dataset: Texts and labels; its fingerprint is part of the cache key.
        encoder: As for `resolve_encoder`; the content of its tokenizer's files is part of the key.
        max_length: Word pieces kept of a document, [CLS] and [SEP] included; in [3, positions of
            the encoder]. An empty text gives those two.
        cache_dir: None: `default_cache_dir()`. If it cannot be written, the arrays stay in memory
            and one warning is logged.

    Returns:
        Read-only arrays: token and label ids int32, offsets int64.

    Raises:
        UsageError: an unknown encoder, one with fewer positions, or a tokenizer that cannot be
            read.
    """
    folder = resolve_encoder(encoder)
    check_max_length(folder, max_length)
    key = _key(dataset, folder, max_length)
    cache = ArrayCache((cache_dir or default_cache_dir()) / "tokens")
    tokens = cache.fetch(key, lambda: _tokenise(dataset, folder, max_length))
    return EncodedDataset(
        name=dataset.name,
        fingerprint=key,
        label_names=dataset.label_names,
        groups=dataset.groups,
        pad_id=int(tokens["pad_id"][0]),
        train=_encoded_split(tokens, "train"),
        val=_encoded_split(tokens, "val"),
        test=_encoded_split(tokens, "test"),
        test_ids=tuple(dataset.test.ids),
    )


def _key(dataset: TextDataset, folder: Path, max_length: int) -> str:
    digest = hashlib.sha256()
    parts = [_FORMAT, version("tokenizers"), version("transformers"), dataset.fingerprint]
    for part in (*parts, str(max_length)):
        digest.update(f"{len(part)}:{part}".encode())
    for name in _TOKENIZER_FILES:
        path = folder / name
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def _tokenise(dataset: TextDataset, folder: Path, max_length: int) -> Arrays:
    read = TextReader.load(folder, max_length)
    arrays: dict[str, npt.NDArray[Any]] = {"pad_id": np.asarray([read.pad_id])}
    for name in SPLITS:
        split = dataset.split(name)
        arrays[f"{name}.token_ids"], arrays[f"{name}.token_offsets"] = read(split.texts)
        arrays[f"{name}.label_ids"], arrays[f"{name}.label_offsets"] = _flatten(split.labels)
    return arrays


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        # without a word on trust it asks on the terminal whether to run the folder's code
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise UsageError(
            f"the tokenizer in '{folder}' cannot be read: {first_line(error)}"
        ) from error


def _flatten(
    rows: Sequence[Sequence[int]],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    flat = np.fromiter(itertools.chain.from_iterable(rows), dtype=np.int32)
    return flat, np.cumsum([0, *map(len, rows)], dtype=np.int64)


def _encoded_split(tokens: Arrays, name: str) -> EncodedSplit:
    return EncodedSplit(
        token_ids=tokens[f"{name}.token_ids"],
        token_offsets=tokens[f"{name}.token_offsets"],
        label_ids=tokens[f"{name}.label_ids"],
        label_offsets=tokens[f"{name}.label_offsets"],
    )
