"""What a search itself costs a trial, as trials grow in number: trials that take no time.

CPU time of the driver's process, all threads, from the start of the first trial to the end of the
last: that a machine is busy otherwise, or a disk slow, is not in it. Each case is a whole search in
a process of its own.
"""

import argparse
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.processes import Processes
from benchmarks.report import Report, Row, options, positive, progress, run, verdict
from benchmarks.search_case import SearchCase

TRIALS: Final = (100, 1_000, 10_000)
_GOAL_MS: Final = 50.0
_JUDGED: Final = 1_000
"""Trials of the case that the goal is for."""
_VARIANTS: Final = {"lines of text, no MLflow": False, "live table, MLflow": True}

Case = Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = options("search_scale", "CPU time and memory of the driver over the number of trials.")
    parser.add_argument("--trials", type=positive, nargs="+", default=TRIALS, metavar="N")
    parser.add_argument("--epochs", type=positive, default=3, metavar="N", help="of a trial")
    parser.add_argument("--without-mlflow", action="store_true", help="leave out those cases")
    return run(parser, measure, argv)


def measure(chosen: argparse.Namespace) -> Report:
    """All cases, one after the other."""
    cases: dict[str, list[Case]] = {what: [] for what in _VARIANTS}
    alone = []
    if chosen.without_mlflow:
        del cases["live table, MLflow"]
    for trials in sorted(set(chosen.trials)):
        for what, found in cases.items():
            progress(f"{trials:,} trials, {what}")
            found.append(_in_a_process(trials, chosen.epochs, "search", _VARIANTS[what]))
        progress(f"{trials:,} trials, Tune alone")
        alone.append(_in_a_process(trials, chosen.epochs, "tune_alone"))
    figures = {
        "epochs": chosen.epochs,
        "cases": [case for found in cases.values() for case in found],
        "tune_alone": alone,
        "growth": {what: growth_of(found) for what, found in cases.items()},
    }
    rows = [row for what, found in cases.items() for row in rows_of(what, found)]
    rows += [Row(what=f"Tune alone: {_name(case)}", value=_cost(case)) for case in alone]
    return Report(figures=figures, rows=rows, notes=_notes(chosen.epochs))


def growth_of(cases: Sequence[Case]) -> list[float]:
    """Exponents of the cost of a trial between neighbouring cases.

    0: a trial costs the same whatever their number; 1: the whole search is quadratic.

    Args:
        cases: By their number of trials.
    """
    return [
        math.log(more["cpu_ms_per_trial"] / less["cpu_ms_per_trial"])
        / math.log(more["trials"] / less["trials"])
        for less, more in itertools.pairwise(cases)
    ]


def rows_of(what: str, cases: Sequence[Case]) -> list[Row]:
    """The table's rows of one kind of search."""
    rows = []
    for case in cases:
        cost = case["cpu_ms_per_trial"]
        goal = verdict(f"at most {_GOAL_MS:.0f} ms at {_JUDGED:,}", met=cost <= _GOAL_MS)
        rows += [
            Row(
                what=f"{what}: {_name(case)}",
                value=_cost(case),
                goal=goal if case["trials"] == _JUDGED else "",
            ),
            Row(what="  the last tenth of them", value=f"{case['cpu_ms_per_late_trial']:.1f} ms"),
            *(
                Row(what=f"  of it {part}", value=f"{ms:.1f} ms")
                for part, ms in sorted(case["parts_ms_per_trial"].items(), key=lambda x: -x[1])
                if ms >= 0.05
            ),
            Row(what="  Tune and the rest", value=f"{_rest(case):.1f} ms"),
            Row(
                what="  memory: peak, and what a trial adds",
                value=f"{case['peak_bytes'] / 2**20:,.0f} MiB, {case['kib_per_trial']:.1f} KiB",
            ),
            Row(
                what="  files of results, once",
                value=f"{case['summary_cpu_s']:.1f} s, plots {case['plots_cpu_s']:.1f} s",
            ),
        ]
    growth = growth_of(cases)
    if growth:
        told = ", ".join(f"{exponent:.2f}" for exponent in growth)
        goal = verdict("slower than the number of trials (1)", met=max(growth) < 1)
        rows.append(
            Row(what=f"{what}: growth of a trial's cost", value=f"exponent {told}", goal=goal)
        )
    return rows


def _in_a_process(trials: int, epochs: int, method: str, *arguments: Any) -> Any:
    with Processes(SearchCase, [(trials, epochs)]) as case:
        return case.call(method, *arguments)[0]


def _rest(case: Case) -> float:
    """What no part has."""
    return float(case["cpu_ms_per_trial"] - sum(case["parts_ms_per_trial"].values()))


def _name(case: Case) -> str:
    return f"{case['trials']:,} trials"


def _cost(case: Case) -> str:
    return f"{case['cpu_ms_per_trial']:.1f} ms each ({case['wall_ms_per_trial']:.0f} of wall time)"


def _notes(epochs: int) -> list[str]:
    return [
        f"trials of at most {epochs} epochs that take no time, two at once on reused actors; ASHA "
        f"from epoch 1, reduction factor 3; the space of `db`; no weights, no checkpoints",
        "CPU time of the driver's process, all its threads; two clock readings a timed call are in",
        "MLflow is told by a process of its own, which is not counted; its time after the "
        "last trial is in the JSON (mlflow_catching_up_s)",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
