"""`python -m trainable best.yaml --out MODEL`: train what a search chose, score it, keep it.

Prints progress to stderr and the result to stdout.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainable.best import BestConfig
from trainable.config import OBJECTIVE
from trainable.datasets.records import GROUPS
from trainable.objectives import objective_words
from trainable.terminal import Parser, note

if TYPE_CHECKING:
    from trainable.retrain import Retrained

_ROWS = (
    ("total", None),
    *((group, group) for group in GROUPS),
    ("single-label", "single_label"),
    ("multi-label", "multi_label"),
)

_PROGRESS_EVERY_S: Final = 10.0


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = Parser(
        prog="python -m trainable",
        description="Train an exported configuration again, evaluate it on test, and write a "
        "folder that transformers loads. Other commands, each with its --help: predict, evaluate.",
    )
    parser.add_argument("best", type=Path, metavar="BEST.YAML", help="of python -m search export")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="MODEL", help="new folder for the model"
    )
    parser.add_argument(
        "--train-on",
        choices=("train", "train+val"),
        default="train",
        help="train: repeat the trial; train+val: also learn from the validation documents",
    )
    parser.add_argument(
        "--data", type=Path, metavar="PATH", help="where the data lie, if not where they were"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return parser


def run(options: argparse.Namespace) -> int:
    """Train, write the folder, print the scores."""
    try:
        result = _retrain(options)
    except KeyboardInterrupt:
        note("interrupted: nothing was written")
        return 130
    print(json.dumps(_summary(result, options.out)) if options.json else _table(result))
    return 0


def _retrain(options: argparse.Namespace) -> "Retrained":
    best = BestConfig.load(options.best)
    # only now: a wrong best.yaml must not wait for torch
    from trainable.model_folder import check_new_folder, save_model_folder
    from trainable.retrain import retrain

    check_new_folder(options.out)
    config = best.config
    name = objective_words(config.objective)
    note(
        f"training {config.loss} on {config.dataset} ({options.train_on}) with {config.encoder}: "
        f"{best.best_epoch} of {config.epochs} epochs"
    )

    def on_epoch(metrics: Mapping[str, float]) -> None:
        score = "" if options.train_on != "train" else f"  val {name} {_percent(metrics)}"
        note(
            f"epoch {metrics['epoch']}/{best.best_epoch}  train loss {metrics['train/loss']:.4g}"
            f"{score}  {metrics['time/epoch_s']:.0f} s"
        )

    result = retrain(
        best,
        train_on=options.train_on,
        data_path=options.data,
        on_epoch=on_epoch,
        on_progress=_feature_lines(),
    )
    save_model_folder(result, options.out)
    if result.repeats_trial is False:
        note(
            "warning: the validation score differs from the trial's: another machine, "
            "other library versions or another number of threads"
        )
    note(f"model written to {options.out}")
    return result


def _feature_lines() -> Callable[[str, int, int], None]:
    """Prints a line when a split is begun, and one every few seconds."""
    last = 0.0

    def on_progress(split: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if not done or now - last >= _PROGRESS_EVERY_S:
            note(f"features of the frozen encoder: {split} {100 * done // max(1, total)} %")
            last = now

    return on_progress


def _table(result: "Retrained") -> str:
    report = result.report
    lines = [f"{'test':<14}{'micro-F1':>10}{'macro-F1':>10}"]
    for name, key in _ROWS:
        scores = report if key is None else report.get(key)
        if scores is not None:
            lines.append(
                f"{name:<14}{100 * scores['micro_f1']:>10.2f}{100 * scores['macro_f1']:>10.2f}"
            )
    lines.append(f"threshold {report['threshold']:g}, {report['num_docs']} documents")
    theirs = f"{100 * result.best.objective:.2f}"
    if result.validation is None:
        lines.append(f"no validation score (train+val); the trial's: {theirs}")
    else:
        score = objective_words(result.best.config.objective)
        lines.append(f"validation {score} {_percent(result.validation)} (the trial's: {theirs})")
    return "\n".join(lines)


def _summary(result: "Retrained", out: Path) -> dict[str, Any]:
    long = ("per_label", "threshold_curve")
    return {
        "model": str(out),
        "train_on": result.train_on,
        "validation": result.validation and {OBJECTIVE: result.validation[OBJECTIVE]},
        "trial": {OBJECTIVE: result.best.objective},
        "repeats_trial": result.repeats_trial,
        "test": {key: value for key, value in result.report.items() if key not in long},
        "epochs": result.best.best_epoch,
        "device": result.device,
        "precision": result.precision,
        "wall_s": round(result.wall_s, 3),
    }


def _percent(metrics: Mapping[str, float]) -> str:
    return f"{100 * metrics[OBJECTIVE]:.2f}"
