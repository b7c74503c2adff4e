"""Memory and time of an epoch as documents and labels grow: head mode, each case in a process.

Features are random, labels synthetic and long-tailed; what a head learns of them does not matter.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.head_case import FEATURES, HeadCase
from benchmarks.processes import Processes, as_a_trial
from benchmarks.report import Report, Row, options, positive, progress, run, verdict
from trainable.device import pick_device
from trainable.errors import UsageError

DOCUMENTS: Final = (2_000, 20_000, 200_000)
LABELS: Final = (100, 2_000, 18_211)
_LINEAR: Final = (0.85, 1.15)
"""Exponents of documents, between the two largest cases, that count as linear."""
_CONSTANT: Final = (0.8, 1.25)
"""Ratios of the times of a step, likewise, that count as a constant cost of a document."""
_MOST_SECONDS: Final = 90.0
"""A longer epoch is not run whole; of it steps of half as many seconds are timed."""
_DENSE_SHARE: Final = 0.25
"""Of a byte a label: more working memory than that, for each further document, is a dense array."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = options("scale", "Memory and time of an epoch over documents and labels (head mode).")
    parser.add_argument("--documents", type=positive, nargs="+", default=DOCUMENTS, metavar="N")
    parser.add_argument("--labels", type=positive, nargs="+", default=LABELS, metavar="L")
    parser.add_argument("--head-hidden", type=positive, default=512, metavar="H")
    parser.add_argument("--most-seconds", type=float, default=_MOST_SECONDS, metavar="S")
    return run(parser, _measure_chosen, argv)


def _measure_chosen(chosen: argparse.Namespace) -> Report:
    if len(set(chosen.documents)) < 2:
        raise UsageError("--documents must name at least two sizes, to see how an epoch grows")
    return measure(
        sorted(chosen.documents),
        sorted(chosen.labels),
        head_hidden=chosen.head_hidden,
        most_seconds=chosen.most_seconds,
    )


def measure(
    documents: Sequence[int], labels: Sequence[int], *, head_hidden: int, most_seconds: float
) -> Report:
    """All cases, one after the other."""
    environment = as_a_trial() if pick_device().type == "cpu" else {}
    cases = []
    for num_labels in labels:
        for num_docs in documents:
            progress(f"{num_docs:,} documents, {num_labels:,} labels")
            with Processes(HeadCase, [(num_docs, num_labels, head_hidden)], environment) as case:
                case.call("warm_up")
                cases.append(case.call("epoch", most_seconds)[0])
    growth = [_growth([c for c in cases if c["labels"] == num]) for num in labels]
    figures = {"features": FEATURES, "head_hidden": head_hidden, "cases": cases, "growth": growth}
    return Report(figures=figures, rows=_rows(cases, growth), notes=_notes(cases))


def _growth(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How time and memory grow between the two largest cases of one number of labels.

    The exponent of a scaled epoch would be made of the scaling: there a step's time is judged.
    """
    less, more = cases[-2:]
    added = more["documents"] - less["documents"]
    scaled = less["scaled"] or more["scaled"]
    step_ratio = more["step_s"] / less["step_s"]
    exponent = math.log(more["epoch_s"] / less["epoch_s"]) / math.log(
        more["documents"] / less["documents"]
    )
    low, high = _CONSTANT if scaled else _LINEAR
    work = (more["work_bytes"] - less["work_bytes"]) / added
    return {
        "labels": more["labels"],
        "judged_by": "step_ratio" if scaled else "exponent",
        "exponent": None if scaled else exponent,
        "step_ratio": step_ratio,
        "linear": low <= (step_ratio if scaled else exponent) <= high,
        "ms_per_document": 1e3 * (more["epoch_s"] - less["epoch_s"]) / added,
        "peak_bytes_per_document": (more["peak_bytes"] - less["peak_bytes"]) / added,
        "work_bytes_per_document": work,
        "dense_array": work > _DENSE_SHARE * more["labels"],
    }


def _rows(cases: Sequence[Mapping[str, Any]], growth: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows = [
        Row(
            what=f"{case['documents']:,} documents, {case['labels']:,} labels",
            value=f"{case['epoch_s']:.1f} s{'*' if case['scaled'] else ''}, "
            f"peak {_mib(case['peak_bytes'])}, of it data {_mib(case['data_bytes'])}",
        )
        for case in cases
    ]
    for grown in growth:
        labels = f"{grown['labels']:,} labels"
        rows.append(_time_row(grown))
        if grown is growth[-1]:
            work = grown["work_bytes_per_document"] / 1024
            rows.append(
                Row(
                    what=f"{labels}: working memory of a further document",
                    value=f"{work:.2f} KiB",
                    goal=verdict(
                        f"no dense row of {grown['labels'] / 1024:.1f} KiB",
                        met=not grown["dense_array"],
                    ),
                )
            )
    return rows


def _time_row(grown: Mapping[str, Any]) -> Row:
    labels = f"{grown['labels']:,} labels"
    each = f"{grown['ms_per_document']:.2f} ms each"
    if grown["judged_by"] == "exponent":
        return Row(
            what=f"{labels}: time of whole epochs over documents",
            value=f"exponent {grown['exponent']:.2f}, {each}",
            goal=verdict("linear", met=grown["linear"]),
        )
    return Row(
        what=f"{labels}: time of a step*, most documents / next",
        value=f"ratio {grown['step_ratio']:.2f}, {each}",
        goal=verdict(
            "constant cost of a document, judged by steps, no whole epoch", met=grown["linear"]
        ),
    )


def _notes(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = [
        f"head mode on {FEATURES} random features a document, db, batch 32, one thread; training "
        "part of an epoch, after a warm-up of some steps; memory with a validation of 1,000",
        "working memory: the highest resident memory, less that of the process with imports and "
        "data",
    ]
    scaled = [case for case in cases if case["scaled"]]
    if scaled:
        steps = ", ".join(f"{case['timed_steps']} of {case['steps']}" for case in scaled)
        notes.append(f"* no whole epoch was run, its time is scaled from steps: {steps}")
    return notes


def _mib(num_bytes: float) -> str:
    return f"{num_bytes / 2**20:,.0f} MiB"


if __name__ == "__main__":
    raise SystemExit(main())
