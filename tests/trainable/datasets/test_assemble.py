"""What every source must hold, the groups, the fingerprint, the registry."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainable.config import TrialConfig
from trainable.datasets import DATASETS, cache, default_cache_dir, load_dataset
from trainable.datasets.assemble import Document, assemble, name_some, seal
from trainable.datasets.groups import paper_groups, tertile_groups
from trainable.errors import UsageError


def docs(*labels, start=0):
    return [Document(str(start + n), f"text {n}", tuple(row)) for n, row in enumerate(labels)]


def made(train=("a", "ab"), val=("a",), test=("b",)):
    return assemble(
        name="made",
        source="by hand",
        splits={"train": docs(*train), "val": docs(*val), "test": docs(*test)},
        group_rule=tertile_groups,
        advice="do something",
    )


def test_labels_become_sorted_distinct_indices():
    data = made(train=("ba", "cab", ""), val=("c",), test=("aa",))
    assert data.label_names == ("a", "b", "c")
    assert data.train.labels == ((0, 1), (0, 1, 2), ())
    assert data.test.labels == ((0,),)


def test_labels_lost_from_training_are_named():
    with pytest.raises(UsageError) as caught:
        made(val=("x",))
    assert str(caught.value) == (
        "dataset 'made' (by hand): every label needs a training document, but 'x' has none; "
        "do something"
    )
    with pytest.raises(UsageError, match="but 'p', 'q', 'r', 's', 't' and 2 more have none; "):
        made(test=("pqrstuv",))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_documents(split):
    with pytest.raises(UsageError) as caught:
        made(**{split: ()})
    assert str(caught.value) == f"dataset 'made' (by hand) has no {split} documents"


def test_no_labels_at_all():
    with pytest.raises(UsageError) as caught:
        made(train=("", ""), val=("",), test=("",))
    assert str(caught.value) == ("dataset 'made' (by hand) has no labels at all: nothing to learn")


def test_the_fingerprint_is_of_the_content():
    data = made()
    assert data.fingerprint == made().fingerprint
    assert len(data.fingerprint) == 64
    moved = dataclasses.replace(data, name="other", source="elsewhere")
    assert seal(moved).fingerprint == data.fingerprint
    others = [
        dataclasses.replace(data, train=data.val, val=data.train),
        dataclasses.replace(data, label_names=("a", "c")),
        dataclasses.replace(data, groups=("tail", "tail")),
        dataclasses.replace(data, val=dataclasses.replace(data.val, ids=("9",))),
        dataclasses.replace(data, val=dataclasses.replace(data.val, texts=("text 0 ",))),
        dataclasses.replace(data, val=dataclasses.replace(data.val, labels=((1,),))),
    ]
    assert len({seal(other).fingerprint for other in [data, *others]}) == 7


def test_paper_groups():
    grouped = paper_groups([35, 34, 9, 8, 1, 2000])
    assert grouped.groups == ("head", "medium", "medium", "tail", "tail", "head")


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60))
def test_tertiles_follow_the_counts(counts):
    grouped = tertile_groups(counts)
    by_group = {
        group: [n for n, given in zip(counts, grouped.groups, strict=True) if given == group]
        for group in ("tail", "medium", "head")
    }
    in_order = [*sorted(by_group["tail"]), *sorted(by_group["medium"]), *sorted(by_group["head"])]
    assert in_order == sorted(counts)
    # equal counts share a group
    assert len(set(counts)) == sum(len(set(part)) for part in by_group.values())
    if len(set(counts)) >= 3:
        assert all(by_group.values())


@pytest.mark.parametrize(
    ("counts", "rule"),
    [
        ([1, 2, 3, 5, 8, 13], "head >= 8, medium 3..7, tail <= 2"),
        ([4, 4, 4], "head >= 5, medium 4..4, tail <= 3"),
        ([4, 5], "head >= 5, medium none, tail <= 4"),
    ],
)
def test_the_rule_in_words(counts, rule):
    expected = f"{rule} training documents (thirds of the labels by training count)"
    assert tertile_groups(counts).rule == expected


def test_names_are_counted():
    assert name_some(list("abcde")) == "'a', 'b', 'c', 'd', 'e'"
    assert name_some(list("abcdef")) == "'a', 'b', 'c', 'd', 'e' and 1 more"


def test_an_unknown_dataset():
    assert DATASETS == ("reuters", "demo", "file")
    with pytest.raises(UsageError) as caught:
        load_dataset(TrialConfig(dataset="reuter"))
    assert str(caught.value) == (
        "unknown dataset 'reuter': did you mean 'reuters'? Allowed: reuters, demo, file"
    )


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "c"))
    assert default_cache_dir() == tmp_path / "c"
    monkeypatch.delenv(cache.CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "longtail-search"
    assert not (tmp_path / "longtail-search").exists()
