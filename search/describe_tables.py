"""The description of a dataset, for a terminal. Labels and paths are never read as markup."""

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_SHOWN: Final = 10
"""Most frequent and rarest labels that are shown; `--json` has all."""

_DUPLICATES: Final = (
    ("within_train", "within train"),
    ("within_val", "within val"),
    ("within_test", "within test"),
    ("val_in_train", "val in train"),
    ("test_in_train", "test in train"),
    ("test_in_val", "test in val"),
)


def render_description(description: Mapping[str, Any]) -> RenderableType:
    """Tables of what `search.describe.describe_dataset` returned."""
    groups, counts = description["groups"], description["label_counts"]
    lines = [
        f"{description['name']}: {description['num_labels']} labels, from {description['source']}",
        f"groups: {groups['head']} head, {groups['medium']} medium, {groups['tail']} tail "
        f"({groups['rule']})",
        f"training documents per label: least {counts['p0']:g}, quartiles {counts['p25']:g} / "
        f"{counts['p50']:g} / {counts['p75']:g}, most {counts['p100']:g}",
    ]
    if "mu_estimate" in description:
        lines.append(f"mu of the rebalanced weights, estimated: {description['mu_estimate']:.3f}")
    repeated = [
        f"{description['duplicates'][key]} {words}"
        for key, words in _DUPLICATES
        if description["duplicates"][key]
    ]
    lines.append(f"repeated texts: {', '.join(repeated) or 'none'}")
    lines.append(f"fingerprint: {description['fingerprint']}")
    return Group(
        *(Text(line, overflow="fold") for line in lines),
        Text(),
        _split_table(description["splits"]),
        Text(),
        _label_table(description["labels"]),
    )


def _split_table(splits: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, title="Splits", title_justify="left")
    table.add_column("")
    for name in splits:
        table.add_column(name, justify="right")
    rows = {
        "documents": lambda s: str(s["documents"]),
        "  with one label": lambda s: str(s["single_label"]),
        "  with several labels": lambda s: str(s["multi_label"]),
        "  without labels": lambda s: str(s["without_labels"]),
        "labels per document, mean": lambda s: f"{s['labels_per_document']['mean']:.2f}",
        "labels per document, most": lambda s: str(s["labels_per_document"]["max"]),
    }
    if all("word_pieces" in split for split in splits.values()):
        rows["word pieces, mean"] = lambda s: f"{s['word_pieces']['mean']:.0f}"
        rows["word pieces, p50 / p75"] = lambda s: _pair(s, "p50", "p75")
        rows["word pieces, p90 / p99"] = lambda s: _pair(s, "p90", "p99")
        if all("share_cut" in split["word_pieces"] for split in splits.values()):
            longest = next(iter(splits.values()))["word_pieces"]["max_length"]
            rows[f"cut at {longest}"] = lambda s: f"{s['word_pieces']['share_cut']:.1%}"
    for title, cell in rows.items():
        table.add_row(title, *(cell(split) for split in splits.values()))
    return table


def _pair(split: Mapping[str, Any], first: str, second: str) -> str:
    return f"{split['word_pieces'][first]:.0f} / {split['word_pieces'][second]:.0f}"


def _label_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, title="Labels", title_justify="left")
    table.add_column("label", overflow="fold")
    table.add_column("group")
    for name in ("train", "val", "test"):
        table.add_column(name, justify="right")
    left_out = len(rows) - 2 * _SHOWN
    for number, row in enumerate(rows):
        if left_out > 1 and _SHOWN <= number < len(rows) - _SHOWN:
            if number == _SHOWN:
                table.add_row(Text(f"... {left_out} more (--json has all)", style="dim"))
            continue
        numbers = (str(row[name]) for name in ("train", "val", "test"))
        table.add_row(Text(row["label"]), row["group"], *numbers)
    return table
