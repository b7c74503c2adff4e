"""Wall time of a whole search over what its trials computed: all that a search adds to training.

The real command, in a process of its own: MLflow on, Ray started, the winner scored on the test
set, everything written. The parts come from the times in its journal.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.documents import load_corpus
from benchmarks.encoders import default_encoder, encoder_named
from benchmarks.report import (
    Report,
    Row,
    add_data_option,
    options,
    positive,
    progress,
    run,
    verdict,
)
from search.journal import JOURNAL_FILE, read_journal
from search.spec import SPEC_NAME, SearchSpec
from trainable.datasets.records import SplitName
from trainable.device import pick_device
from trainable.errors import UsageError, UserError

_GOAL: Final = 1.10
_NAME: Final = "overhead"
_VAL_DOCS: Final = 200
_KINDS: Final = ("search_started", "trial_started", "trial_ended", "test_evaluated")
ROOT: Final = Path(__file__).resolve().parents[1]

Event = Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = options("search_overhead", "Wall time of a search over its trials' computing.")
    add_data_option(parser)
    parser.add_argument("--encoder", help="minilm, bert-base-random or a folder")
    parser.add_argument("--trials", type=positive, default=16, metavar="N")
    parser.add_argument("--epochs", type=positive, default=3, metavar="N")
    parser.add_argument("--docs", type=positive, default=600, metavar="N", help="of training")
    parser.add_argument("--max-length", type=positive, default=128, metavar="N")
    return run(parser, measure, argv)


def measure(chosen: argparse.Namespace) -> Report:
    """Search in a temporary folder."""
    with (
        tempfile.TemporaryDirectory() as folder,
        encoder_named(chosen.encoder or default_encoder()) as encoder,
    ):
        data = chosen.data or _write_documents(Path(folder), encoder, chosen)
        progress(f"a search of {chosen.trials} trials")
        began, ended = _search(Path(folder), encoder, data, chosen)
        runs = Path(folder) / "runs" / _NAME
        slots = SearchSpec.load(runs / SPEC_NAME).max_concurrent
        figures = parts_of(read_journal(runs / JOURNAL_FILE), began, ended, slots)
    source = chosen.data or "synthetic documents of Reuters' lengths"
    notes = [
        f"{source}; {chosen.docs} training documents, at most {chosen.epochs} epochs of a trial, "
        f"{chosen.max_length} word pieces",
        "compute: the sum of all time/epoch_s in the journal, validation included",
    ]
    return Report(figures=figures, rows=_rows(figures), notes=notes)


def parts_of(events: Sequence[Event], began: float, ended: float, slots: int) -> dict[str, Any]:
    """Where the time of a search went, from its journal.

    Args:
        events: Of a search that completed.
        began: When its command was started, in unix seconds.
        ended: When that ended.
        slots: Trials that may run at once.
    """
    times = {kind: [e["time"] for e in events if e["event"] == kind] for kind in _KINDS}
    epochs = [event for event in events if event["event"] == "epoch"]
    compute_s = sum(event["metrics"]["time/epoch_s"] for event in epochs)
    first = min(times["trial_started"])
    last = max(times["trial_ended"])
    ideal_s = compute_s / slots
    tested = times["test_evaluated"][-1] if times["test_evaluated"] else last
    return {
        "trials": len(times["trial_ended"]),
        "slots": slots,
        "epochs": len(epochs),
        "compute_s": compute_s,
        "wall_s": ended - began,
        "overhead": (ended - began) / ideal_s,
        "overhead_while_trials_ran": (last - first) / ideal_s,
        "before_s": times["search_started"][0] - began,
        "ray_and_first_imports_s": first - times["search_started"][0],
        "trials_s": last - first,
        "slots_not_computing_s": (last - first) - ideal_s,
        "gap_between_trials_s": _median_gap(events),
        "final_test_s": tested - last,
        "closing_s": ended - tested,
    }


def _median_gap(events: Sequence[Event]) -> float | None:
    """Between the end of a trial and the start of the next one, whichever that is."""
    gaps, free = [], 0.0
    for event in events:
        if event["event"] == "trial_ended":
            free = event["time"]
        elif event["event"] == "trial_started" and free:
            gaps.append(event["time"] - free)
            free = 0.0
    return sorted(gaps)[len(gaps) // 2] if gaps else None


def _write_documents(folder: Path, encoder: str, chosen: argparse.Namespace) -> str:
    """Synthetic documents as a file that the command reads."""
    sizes: dict[SplitName, int] = {"train": chosen.docs, "val": _VAL_DOCS, "test": _VAL_DOCS}
    corpus = load_corpus(None, encoder, max_length=512, sizes=sizes)
    path = folder / "synthetic.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for name in sizes:
            split = corpus.data.split(name)
            for doc, text in enumerate(corpus.texts(name)):
                low, high = split.label_offsets[doc : doc + 2]
                labels = [corpus.data.label_names[label] for label in split.label_ids[low:high]]
                file.write(json.dumps({"text": text, "labels": labels, "split": name}) + "\n")
    return str(path)


def search_arguments(
    folder: Path, encoder: str, data: str, chosen: argparse.Namespace
) -> list[str]:
    """Of `python -m search`: the whole encoder is trained, on a GPU where there is one."""
    preset = "paper" if pick_device().type == "cuda" else "cpu-full"
    settings = {
        "max_length": chosen.max_length,
        "max_val_docs": _VAL_DOCS,
        "max_test_docs": _VAL_DOCS,
    }
    return [
        *("run", "--loss", "db", "--preset", preset, "--tune", "all"),
        *("--data", str(Path(data).absolute()), "--encoder", encoder, "--name", _NAME),
        *("--trials", str(chosen.trials), "--epochs", str(chosen.epochs)),
        *("--max-train-docs", str(chosen.docs), "--runs-dir", str(folder / "runs")),
        *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
    ]


def _search(
    folder: Path, encoder: str, data: str, chosen: argparse.Namespace
) -> tuple[float, float]:
    """Run the command; when it was started and when it had ended, in unix seconds."""
    command = [sys.executable, "-m", "search", *search_arguments(folder, encoder, data, chosen)]
    began = time.time()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        if done.returncode == UsageError.exit_code:
            raise UsageError(told.removeprefix("error: "))
        raise UserError(f"the search ended with code {done.returncode}: {told}")
    return began, time.time()


def _rows(figures: Mapping[str, Any]) -> list[Row]:
    overhead = figures["overhead"]
    gap = figures["gap_between_trials_s"]
    seconds = {
        "command, until the search begins": "before_s",
        "Ray, the first worker's imports": "ray_and_first_imports_s",
        "trials": "trials_s",
        "  of them slots that did not compute": "slots_not_computing_s",
        "final test": "final_test_s",
        "results, MLflow, end of the process": "closing_s",
    }
    return [
        Row(
            what=f"wall time of {figures['trials']} trials, {figures['epochs']} epochs",
            value=f"{figures['wall_s']:.1f} s",
        ),
        Row(
            what=f"compute / {figures['slots']} slots",
            value=f"{figures['compute_s'] / figures['slots']:.1f} s",
        ),
        Row(
            what="overhead",
            value=f"{overhead:.3f}",
            goal=verdict(f"at most {_GOAL:.2f}", met=overhead <= _GOAL),
        ),
        Row(what="overhead while trials ran", value=f"{figures['overhead_while_trials_ran']:.3f}"),
        *(Row(what=what, value=f"{figures[key]:.1f} s") for what, key in seconds.items()),
        *([Row(what="between two trials, median", value=f"{gap:.2f} s")] if gap else []),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
