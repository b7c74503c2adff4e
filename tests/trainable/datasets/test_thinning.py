"""Fewer documents: the labels that stay, the smallest number, the same ones every time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainable.config import TrialConfig
from trainable.datasets import load_dataset
from trainable.datasets.assemble import Document, assemble
from trainable.datasets.groups import tertile_groups
from trainable.datasets.thinning import thin
from trainable.errors import UsageError

NAMES = "abcdefgh"


def dataset(rows):
    docs = [
        Document(str(n), f"text {n}", tuple(NAMES[label] for label in sorted(row)))
        for n, row in enumerate(rows)
    ]
    return assemble(
        name="made",
        source="test",
        splits={"train": docs, "val": docs[:9], "test": docs[:7]},
        group_rule=tertile_groups,
        advice="do something",
    )


LABELS = st.sets(st.integers(0, 7), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(LABELS, min_size=9, max_size=40),
    limit=st.integers(1, 45),
    seed=st.integers(0, 1000),
)
def test_thinning_keeps_every_label(rows, limit, seed):
    whole = dataset(rows)
    config = TrialConfig(max_train_docs=limit, split_seed=seed)
    present = {label for row in whole.train.labels for label in row}
    try:
        small = thin(whole, config)
    except UsageError as error:
        # the number in the message is one that works, and the next lower one is refused
        least = int(str(error).split("at least ")[1].split(",")[0])
        assert limit < least <= len(present)
        assert len(thin(whole, config.replace(max_train_docs=least)).train) == least
        return
    assert len(small.train) == min(limit, len(rows))
    assert {label for row in small.train.labels for label in row} == present
    assert (small.groups, small.group_rule) == (whole.groups, whole.group_rule)
    assert small == thin(whole, config)
    # the documents keep their order and their content
    places = [whole.train.ids.index(number) for number in small.train.ids]
    assert places == sorted(places)
    assert small.train.texts == tuple(whole.train.texts[place] for place in places)
    assert small.train.labels == tuple(whole.train.labels[place] for place in places)


def test_a_smaller_limit_keeps_a_subset():
    whole = load_dataset(TrialConfig(dataset="demo"))
    kept = [
        set(thin(whole, TrialConfig(max_train_docs=limit)).train.ids) for limit in (60, 200, 900)
    ]
    assert kept[0] < kept[1] < kept[2]


def test_the_cover_is_small():
    whole = dataset([(0, 1, 2), (3, 4), (0,), (1,), (2,), (3,), (4,), (5, 6, 7), (0, 3)])
    with pytest.raises(UsageError) as caught:
        thin(whole, TrialConfig(max_train_docs=2))
    assert str(caught.value) == (
        "setting 'max_train_docs' must be at least 3, so that every label keeps a training "
        "document, got 2"
    )


def test_val_and_test_are_thinned_alone():
    whole = load_dataset(TrialConfig(dataset="demo"))
    small = load_dataset(TrialConfig(dataset="demo", max_val_docs=50, max_test_docs=40))
    assert (len(small.train), len(small.val), len(small.test)) == (len(whole.train), 50, 40)
    assert small.train == whole.train
    assert set(small.val.ids) < set(whole.val.ids)
    assert small.fingerprint != whole.fingerprint


def test_limits_that_change_nothing_keep_the_fingerprint():
    whole = load_dataset(TrialConfig(dataset="demo"))
    same = load_dataset(TrialConfig(dataset="demo", max_train_docs=5000, max_val_docs=241))
    assert same == whole


def test_the_split_seed_draws_others():
    whole = load_dataset(TrialConfig(dataset="demo"))
    one, other = (
        thin(whole, TrialConfig(max_test_docs=100, split_seed=seed)).test for seed in (1, 2)
    )
    assert one.ids != other.ids
