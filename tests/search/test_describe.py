"""The description of a dataset, by hand, and its table."""

import io
import json

import pytest
from rich.console import Console

from search.describe import describe_dataset
from search.describe_tables import render_description
from tests.tiny import encoded_split, tiny_dataset, tiny_encoded
from trainable.datasets.assemble import Document, assemble
from trainable.datasets.groups import tertile_groups
from trainable.encoded import EncodedDataset


def by_hand(labels=("a", "b", "c")):
    a, b, c = labels
    return assemble(
        name="made",
        source="by [bold]hand[/bold]",
        splits={
            "train": [
                Document("1", "same", (a,)),
                Document("2", "same", (a, b)),
                Document("3", "other", (a, b, c)),
                Document("4", "more", ()),
            ],
            "val": [Document("5", "same", (a,)), Document("6", "new", (b,))],
            "test": [Document("7", "new", (a,)), Document("8", "other", (a, c))],
        },
        group_rule=tertile_groups,
        advice="",
    )


def tokens(dataset, lengths):
    parts = {
        name: encoded_split([[1] * n for n in lengths[name]], dataset.split(name).labels)
        for name in ("train", "val", "test")
    }
    return EncodedDataset(
        name="made",
        fingerprint="f",
        label_names=dataset.label_names,
        groups=dataset.groups,
        pad_id=0,
        **parts,
    )


def test_every_number_by_hand():
    dataset = by_hand()
    encoded = tokens(dataset, {"train": [2, 4, 8, 8], "val": [3, 3], "test": [8, 2]})
    described = describe_dataset(dataset, encoded, max_length=8)
    assert described["name"] == "made"
    assert described["fingerprint"] == dataset.fingerprint
    assert described["num_labels"] == 3
    assert described["splits"]["train"] == {
        "documents": 4,
        "without_labels": 1,
        "single_label": 1,
        "multi_label": 2,
        "labels_per_document": {
            "mean": 1.5,
            "max": 3,
            "documents_by_number": {"0": 1, "1": 1, "2": 1, "3": 1},
        },
        "word_pieces": {
            "mean": 5.5,
            "p50": 6.0,
            "p75": 8.0,
            "p90": 8.0,
            "p99": 8.0,
            "max_length": 8,
            "share_cut": 0.5,
        },
    }
    assert described["splits"]["test"]["single_label"] == 1
    assert described["splits"]["test"]["multi_label"] == 1
    assert described["groups"] == {
        "rule": dataset.group_rule,
        "head": 1,
        "medium": 1,
        "tail": 1,
    }
    assert described["label_counts"] == {
        "p0": 1.0,
        "p25": 1.5,
        "p50": 2.0,
        "p75": 2.5,
        "p100": 3.0,
    }
    assert described["duplicates"] == {
        "within_train": 1,
        "within_val": 0,
        "within_test": 0,
        "val_in_train": 1,
        "test_in_train": 1,
        "test_in_val": 1,
    }
    assert described["labels"] == [
        {"label": "a", "group": "head", "train": 3, "val": 1, "test": 2},
        {"label": "b", "group": "medium", "train": 2, "val": 1, "test": 0},
        {"label": "c", "group": "tail", "train": 1, "val": 0, "test": 1},
    ]
    # counts 3, 2, 1: r = 1 | 2/5, 3/5 | 2/11, 3/11, 6/11
    ratios = sorted([1, 2 / 5, 3 / 5, 2 / 11, 3 / 11, 6 / 11])
    mu = (sum(ratios) / 6 + (ratios[2] + ratios[3]) / 2) / 2
    assert described["mu_estimate"] == pytest.approx(mu, abs=1e-15)


def test_it_is_json_and_equal_after_it():
    described = describe_dataset(tiny_dataset(), tiny_encoded(), max_length=32)
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_without_tokens_there_are_no_lengths_and_no_mu():
    described = describe_dataset(by_hand(), None)
    assert "mu_estimate" not in described
    assert "word_pieces" not in described["splits"]["train"]
    assert "word pieces" not in shown(described)


def shown(description, width=100):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render_description(description))
    return console.export_text()


def test_the_table_shows_it_and_reads_no_markup():
    dataset = by_hand(labels=("[red]a", "b", "c"))
    encoded = tokens(dataset, {"train": [2, 4, 8, 8], "val": [3, 3], "test": [8, 2]})
    text = shown(describe_dataset(dataset, encoded, max_length=8))
    assert "made: 3 labels, from by [bold]hand[/bold]" in text
    assert "[red]a" in text
    assert "1 within train, 1 val in train, 1 test in train, 1 test in val" in text
    assert "cut at 8" in text
    assert "50.0%" in text
    assert "mu of the rebalanced weights, estimated: 0.486" in text


def test_many_labels_are_cut_in_the_middle():
    labels = [f"label-{n:02}" for n in range(40)]
    splits = {name: [Document(name, name, tuple(labels))] for name in ("train", "val", "test")}
    dataset = assemble(name="m", source="s", splits=splits, group_rule=tertile_groups, advice="")
    text = shown(describe_dataset(dataset, None))
    assert "... 20 more (--json has all)" in text
    assert "label-09" in text
    assert "label-10" not in text
    assert "label-30" in text
    assert "repeated texts: none" in text
