"""`python -m search baseline svm`: data, model, folder, MLflow, table.

The folder is the truth, MLflow is told of it last: a store that fails costs a warning.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.table import Table

from search.baseline.folder import folder_for, write_baseline
from search.baseline.options import KINDS
from search.baseline.scored import score_svm
from search.console import Terminal
from search.credentials import from_environment, scrub
from search.hardware import Hardware, detect_hardware
from search.preflight import check_folder
from search.provenance import describe_versions
from search.published import SOURCE, PublishedRow, published_row
from search.request import RunRequest, said_settings
from search.tables import data_line
from search.tracking.baseline import log_baseline
from search.tracking.check import absolute_uri, check_tracking, default_tracking_uri
from trainable.config import TrialConfig
from trainable.datasets import load_dataset
from trainable.datasets.records import GROUPS, TextDataset
from trainable.errors import one_line, unknown_name
from trainable.paths import expand

_SCORES: Final = ("micro_f1", "macro_f1")


def run_baseline(options: argparse.Namespace, terminal: Terminal) -> int:
    """Train, score and keep a baseline; returns the exit code.

    Raises:
        UsageError: an unknown kind, or data, runs folder or tracking store that cannot be used.
        UserError: the texts have no words, or the folder cannot be written.
    """
    if options.kind not in KINDS:
        raise unknown_name("baseline", options.kind, KINDS)
    runs_dir = expand(options.runs_dir, "--runs-dir").absolute()
    uri = absolute_uri(from_environment("tracking_uri", options.tracking_uri))
    config = _config(options)
    check_folder(runs_dir)
    check_tracking(uri, runs_dir)
    # only the one line of JSON goes to standard output
    said = Terminal(terminal.err, terminal.err) if options.json else terminal
    said.say(f"reading {config.dataset} ...", style="dim")
    dataset = load_dataset(config)
    said.say(data_line(dataset))
    said.say("training a linear SVM for each label ...", style="dim")
    scored = score_svm(dataset)
    hardware = detect_hardware()
    described = _described(dataset)
    folder = folder_for(runs_dir, scored.kind, described)
    content = write_baseline(folder, scored, described, _versions(hardware))
    _track(folder, uri or default_tracking_uri(runs_dir), said)
    said.show(baseline_table(content, config))
    said.note(
        f"shift {scored.shift:+.1f}, chosen on validation; {content['test']['num_docs']:,} test "
        f"documents; {scored.seconds:.0f} s"
    )
    if published_row(config.dataset, scored.kind):
        said.note(f"published: {SOURCE}, on all documents")
    said.say(f"results        {folder}")
    if options.json:
        terminal.say(json.dumps(result_line(folder, content), ensure_ascii=False))
    return 0


def result_line(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """What `--json` ends with: scores in [0, 1], `val/...`, `test/...`, `test/GROUP/...`."""
    test = content["test"]
    return {
        "baseline": content["kind"],
        "folder": str(folder),
        "dataset": content["dataset"]["name"],
        "fingerprint": content["dataset"]["fingerprint"],
        "shift": content["shift"],
        "num_test_docs": test["num_docs"],
        **{f"val/{score}": content["validation"][score] for score in _SCORES},
        **{f"test/{score}": test[score] for score in _SCORES},
        **{
            f"test/{group}/{score}": test[group][score]
            for group in GROUPS
            if group in test
            for score in _SCORES
        },
        "seconds": content["seconds"],
    }


def baseline_table(content: Mapping[str, Any], config: TrialConfig) -> Table:
    """Validation, test with its intervals, and the published row."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="micro-F1/macro-F1, per cent",
        title_justify="left",
    )
    for name in ("", "total", *GROUPS):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    kind, test = content["kind"], content["test"]
    table.add_row(f"{kind}, val", *_cells(content["validation"]))
    table.add_row(f"{kind}, test", *_cells(test), style="bold")
    intervals = test.get("intervals")
    if intervals:
        rows = [intervals.get(row) for row in ("total", *GROUPS)]
        low, high = ([_pair(row, end) for row in rows] for end in (0, 1))
        table.add_row("  95 % from", *low, style="dim")
        table.add_row("  to", *high, style="dim")
    published = published_row(config.dataset, kind)
    if published:
        table.add_row(f"published {kind}, test", *_published(published), style="dim")
    return table


def _config(options: argparse.Namespace) -> TrialConfig:
    """The settings that say what the data are."""
    request = RunRequest(
        dataset=options.dataset,
        data=options.data,
        split_seed=options.split_seed,
        max_train_docs=options.max_train_docs,
        settings=tuple(options.settings),
    )
    return TrialConfig.from_mapping({"loss": "bce", **said_settings(request)})


def _described(dataset: TextDataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "num_labels": len(dataset.label_names),
        "train": len(dataset.train),
        "val": len(dataset.val),
        "test": len(dataset.test),
    }


def _versions(hardware: Hardware) -> dict[str, Any]:
    return describe_versions(hardware, Path.cwd())


def _track(folder: Path, uri: str, terminal: Terminal) -> None:
    try:
        log_baseline(folder, uri)
    except Exception as error:  # noqa: BLE001  the folder has all; a store is never worth it
        why = scrub(one_line(error), uri)[:200]
        terminal.warn(f"MLflow was not told of it ({why}); the same command tells it again")


def _cells(scores: Mapping[str, Any]) -> list[str]:
    blocks = [scores, *(scores.get(group) for group in GROUPS)]
    return [_pair(block) for block in blocks]


def _pair(block: Mapping[str, Any] | None, end: int | None = None) -> str:
    if block is None:
        return "-"
    values = [block[score] if end is None else block[score][end] for score in _SCORES]
    return "/".join(f"{100 * value:.2f}" for value in values)


def _published(row: PublishedRow) -> list[str]:
    return [
        f"{micro:.2f}/{macro:.2f}" for micro, macro in (row.total, row.head, row.medium, row.tail)
    ]
