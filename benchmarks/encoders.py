"""The encoders that are measured: the packaged one, and BERT-base's architecture.

bert-base-cased cannot be had without a network, and its weights do not matter to its speed: its
stand-in has random ones, and the packaged tokenizer's vocabulary of the same size.
"""

import contextlib
import itertools
import shutil
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch

from trainable.device import pick_device, seeded
from trainable.encoders import PACKAGED, resolve_encoder
from trainable.errors import UsageError

BERT_BASE: Final = "bert-base-random"
_VOCABULARY: Final = 30_522
_SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_TOKENIZER: Final = ("vocab.txt", "tokenizer.json", "tokenizer_config.json")


def default_encoder() -> str:
    """What a search would choose on this machine, as far as it can be had without a network."""
    return BERT_BASE if pick_device().type == "cuda" else PACKAGED


@contextlib.contextmanager
def encoder_named(name: str) -> Iterator[str]:
    """What `resolve_encoder` takes: `name`, or for `bert-base-random` a folder made for the block.

    Raises:
        UsageError: no such encoder.
    """
    if name != BERT_BASE:
        resolve_encoder(name)
        yield name
        return
    with tempfile.TemporaryDirectory(prefix="bert-base-random-") as folder:
        write_random_bert(Path(folder))
        yield folder


def write_random_bert(folder: Path, **changes: int) -> None:
    """Write BERT-base with random weights; `changes` of its BertConfig make it smaller."""
    from transformers import BertConfig, BertModel, BertTokenizerFast
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        packaged = resolve_encoder(PACKAGED)
        for file in _TOKENIZER:
            shutil.copyfile(packaged / file, folder / file)
    except UsageError:  # a GPU machine with torch and transformers alone
        words = itertools.product(string.ascii_lowercase, repeat=4)
        invented = ("".join(letters) for letters in words)
        vocabulary = [*_SPECIAL, *itertools.islice(invented, _VOCABULARY - len(_SPECIAL))]
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    with seeded(0, torch.device("cpu")):
        model = BertModel(BertConfig(vocab_size=_VOCABULARY, **changes))
    model.save_pretrained(folder)
