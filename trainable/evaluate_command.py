"""`python -m trainable evaluate MODEL`: the scores of a trained model, and against another.

The table goes to stdout, progress to stderr; `--json` prints everything there is.
"""

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainable.datasets.records import GROUPS
from trainable.errors import UsageError
from trainable.paths import expand, write_text
from trainable.terminal import Parser, note

if TYPE_CHECKING:
    from trainable.evaluated import EvaluatedModel

ONE: Final = "one"
PER_LABEL: Final = "per-label"
_ROWS: Final = (
    ("total", ""),
    *((group, group) for group in GROUPS),
    ("single-label", "single_label"),
    ("multi-label", "multi_label"),
)
_COLUMNS: Final = ("f1", "precision", "recall")
_WIDTH: Final = 15


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = Parser(
        prog="python -m trainable evaluate",
        description="Score a trained model on its data, at the threshold of its search: in total, "
        "by group and by kind of document, with 95 % intervals over the documents.",
    )
    parser.add_argument("model", metavar="MODEL", help="folder of python -m trainable ... --out")
    parser.add_argument("--data", type=Path, metavar="PATH", help="where the data lie")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="default: test")
    parser.add_argument(
        "--thresholds",
        choices=(ONE, PER_LABEL),
        default=ONE,
        help="per-label: beside the one, also one for each label, tuned on validation and smoothed",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FOLDER",
        help="another model, search or baseline: intervals of the differences",
    )
    parser.add_argument("--labels", action="store_true", help="a line for each label too")
    parser.add_argument("--out", type=Path, metavar="FILE", help="new file for the whole report")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    return parser


def run(options: argparse.Namespace) -> int:
    """Score the model, print what came out."""
    out = None if options.out is None else expand(options.out, "--out")
    if out is not None and (out.exists() or not out.absolute().parent.is_dir()):
        raise UsageError(f"--out {options.out} must be a new file in a folder that exists")
    # only now: a mistake must not wait for torch
    from trainable.evaluated import evaluate_model

    found = evaluate_model(
        expand(options.model, "MODEL"),
        data_path=options.data,
        split=options.split,
        own_thresholds=options.thresholds == PER_LABEL,
        against=options.against,
        on_progress=lambda split, done, total: note(f"{split}: {done} of {total} documents"),
    )
    if not found.same_data:
        note("warning: these are not the data that the model was trained on")
    whole = as_json(found)
    if out is not None:
        write_text(out, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
        note(f"report written to {options.out}")
    print(json.dumps(whole, ensure_ascii=False) if options.json else table(found, options.labels))
    return 0


def as_json(found: "EvaluatedModel") -> dict[str, Any]:
    """Everything, ready for JSON; an infinite smoothing is null."""
    whole: dict[str, Any] = {**found.report, "same_data": found.same_data}
    if found.own is not None:
        k = found.own.smoothing
        whole["own_thresholds"] = {
            **whole["own_thresholds"],
            "smoothing": None if math.isinf(k) else k,
        }
    if found.against is not None:
        whole["against"] = found.against
    return whole


def table(found: "EvaluatedModel", labels: bool = False) -> str:
    """The scores per cent, `micro/macro`, and what is to be said of them."""
    report = found.report
    heads = ("F1", "95 % from", "to", "precision", "recall", "F1 at 0.5")
    lines = [_line("micro/macro", heads)]
    for name, key in _ROWS:
        block = report if not key else report.get(key)
        if block is None:
            continue
        ends = report.get("intervals", {}).get(key or "total")
        cells = [_pair(block, "f1"), _end(ends, 0), _end(ends, 1)]
        cells += [_pair(block, "precision"), _pair(block, "recall"), _pair(block, "f1_at_0.5")]
        lines.append(_line(name, cells))
    told = f"threshold {report['threshold']:g}, {report['num_docs']} documents of {report['split']}"
    if "micro_roc_auc" in report:
        told += f", micro ROC AUC {report['micro_roc_auc']:.4f}"
    lines.append(told)
    if found.own is not None:
        lines += _own(found)
    if found.against is not None:
        lines += _against(found.against)
    if labels:
        lines += _labels(report["per_label"])
    return "\n".join(lines)


def _own(found: "EvaluatedModel") -> list[str]:
    assert found.own is not None
    block, k = found.report["own_thresholds"], found.own.smoothing
    if math.isinf(k):
        return ["a threshold for each label: none is better on held-out validation documents"]
    cells = [_pair(block, name) for name in _COLUMNS]
    return [
        f"a threshold for each label (smoothing n / (n + {k:g})): "
        f"F1 {cells[0]}, precision {cells[1]}, recall {cells[2]}"
    ]


def _against(paired: Mapping[str, Any]) -> list[str]:
    lines = ["", _line("minus the other", ("micro-F1", "95 % of it", "macro-F1", "95 % of it"))]
    for name in ("total", *GROUPS):
        row = paired.get(name)
        if row is None:
            continue
        cells = []
        for score in ("micro_f1", "macro_f1"):
            one = row[score]
            cells.append(f"{100 * one['difference']:+.2f}")
            cells.append(f"{100 * one['low']:+.2f} {100 * one['high']:+.2f}")
        lines.append(_line(name, cells))
    return lines


def _labels(rows: list[dict[str, Any]]) -> list[str]:
    width = max(len(row["label"]) for row in rows)
    own = "own_threshold" in rows[0]
    names = ["train", "support", "threshold", "precision", "recall", "F1"]
    names += ["own threshold", "own F1"] if own else []
    lines = ["", f"{'label':<{width}}  " + "".join(f"{name:>14}" for name in names)]
    for row in rows:
        cells = [str(row["train_count"]), str(row["support"]), f"{row['threshold']:.2f}"]
        cells += [f"{100 * row[name]:.2f}" for name in ("precision", "recall", "f1")]
        cells += [f"{row['own_threshold']:.3f}", f"{100 * row['own_f1']:.2f}"] if own else []
        lines.append(f"{row['label']:<{width}}  " + "".join(f"{cell:>14}" for cell in cells))
    return lines


def _line(name: str, cells: "tuple[str, ...] | list[str]") -> str:
    return f"{name:<{_WIDTH}}" + "".join(f"{cell:>{_WIDTH - 1}}" for cell in cells)


def _pair(block: Mapping[str, Any], score: str) -> str:
    return f"{100 * block[f'micro_{score}']:.2f}/{100 * block[f'macro_{score}']:.2f}"


def _end(ends: Mapping[str, Any] | None, place: int) -> str:
    if ends is None:
        return ""
    return f"{100 * ends['micro_f1'][place]:.2f}/{100 * ends['macro_f1'][place]:.2f}"
