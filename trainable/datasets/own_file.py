"""The user's own data: one .jsonl, .csv or .parquet with text, labels and optionally a split.

Without a split column: 80/10/10, stratified over the labels, by `split_seed`. With one that has no
`val`: a stratified tenth of `train`. A document may have no labels; a file may not.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trainable.config import TrialConfig
from trainable.datasets.assemble import Document, assemble
from trainable.datasets.groups import tertile_groups
from trainable.datasets.own_rows import Row, complain, read_rows
from trainable.datasets.records import SplitName, TextDataset
from trainable.datasets.stratify import stratified_folds
from trainable.errors import UsageError
from trainable.paths import expand

_SHARES: Final = (0.8, 0.1, 0.1)
_VAL_OF_TRAIN: Final = 0.1
_FEWEST: Final = 10

Parts = dict[SplitName, Sequence[Row]]


def load_own_file(config: TrialConfig, cache_dir: Path) -> TextDataset:  # noqa: ARG001 - a loader
    """Read `data_path` and split it; the dataset is named after the file.

    Raises:
        UsageError: no `data_path`, or a file that cannot be used: one line names file and line.
    """
    if config.data_path is None:
        raise UsageError("dataset 'file' needs --data PATH to a .jsonl, .csv or .parquet file")
    path = expand(config.data_path, "--data")
    rows = read_rows(path, config)
    if not any(row.labels for row in rows):
        raise UsageError(
            f"no document in {path} has a label in column '{config.labels_column}': "
            "nothing to learn"
        )
    parts = _split(path, rows, config)
    for name, part in parts.items():
        if not part:
            raise UsageError(
                f"{path}: a training document for every label leaves none for {name}; add "
                f"documents, or a '{config.split_column}' column"
            )
    _check_known(path, parts)
    return assemble(
        name=path.stem,
        source=str(path),
        splits={
            name: [Document(str(row.line), row.text, row.labels) for row in part]
            for name, part in parts.items()
        },
        group_rule=tertile_groups,
        advice="add one, or drop the label",
    )


def _split(path: Path, rows: Sequence[Row], config: TrialConfig) -> Parts:
    if rows[0].split is None:
        if len(rows) < _FEWEST:
            raise UsageError(
                f"{path} holds {len(rows)} documents: at least {_FEWEST} are needed to split "
                f"80/10/10; add some, or a '{config.split_column}' column"
            )
        train, val, test = _stratify(rows, _SHARES, config.split_seed)
        return {"train": train, "val": val, "test": test}
    train, val, test = (
        [row for row in rows if row.split == name] for name in ("train", "val", "test")
    )
    for name, part in (("train", train), ("test", test)):
        if not part:
            raise UsageError(f"{path}: column '{config.split_column}' has no '{name}' document")
    if not val:
        shares = (1 - _VAL_OF_TRAIN, _VAL_OF_TRAIN)
        train, val = _stratify(train, shares, config.split_seed)
    return {"train": train, "val": val, "test": test}


def _stratify(rows: Sequence[Row], shares: Sequence[float], seed: int) -> list[list[Row]]:
    index = {
        name: number for number, name in enumerate(sorted({n for r in rows for n in r.labels}))
    }
    labels = [[index[name] for name in row.labels] for row in rows]
    return [
        [rows[number] for number in fold] for fold in stratified_folds(labels, shares, seed=seed)
    ]


def _check_known(path: Path, parts: Parts) -> None:
    known = {label for row in parts["train"] for label in row.labels}
    for name in ("val", "test"):
        for row in parts[name]:
            for label in row.labels:
                if label not in known:
                    raise complain(
                        path,
                        row.line,
                        f"label '{label}' of a {name} document is in no train document: "
                        "give it one, or drop the label",
                    )
