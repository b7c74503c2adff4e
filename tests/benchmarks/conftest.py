"""A tiny encoder whose vocabulary has plain words, and synthetic documents of them."""

import itertools

import pytest

from benchmarks.documents import load_corpus
from tests.tiny import tiny_encoder, tiny_vocab

WORDS = ["".join(letters) for letters in itertools.product("abcdefgh", repeat=3)]
SIZES = {"train": 120, "val": 12, "test": 4}


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> str:
    return str(tiny_encoder(tmp_path_factory.mktemp("bert"), tiny_vocab(WORDS)))


@pytest.fixture(scope="session")
def corpus(encoder):
    return load_corpus(None, encoder, max_length=64, sizes=SIZES)
