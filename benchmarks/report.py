"""What all benchmarks share: options, errors in one line, a table for people, JSON for machines.

Needs nothing but the standard library: a GPU machine may have torch and transformers alone.
"""

import argparse
import dataclasses
import datetime
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from search.hardware import Hardware, detect_hardware
from search.provenance import describe_versions
from trainable.errors import UserError, one_line

INTERRUPTED: Final = 130
_HARDWARE: Final = ("cpu", "cpus", "memory_gib", "gpu", "gpus", "platform")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    value: str
    goal: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a benchmark found."""

    figures: dict[str, Any]
    """Ready for JSON; units are in the names."""
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    """What a reader must know of how this was measured."""


def options(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=description, allow_abbrev=False
    )
    parser.add_argument("--json", action="store_true", help="the last line of output is JSON")
    return parser


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """`--data`, for benchmarks that read documents."""
    parser.add_argument(
        "--data", metavar="PATH", help="Reuters-21578 (default: synthetic documents)"
    )


def positive(text: str) -> int:
    """A whole number of at least 1, as the type of an option."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got '{text}'")
    return int(text)


def run(
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], Report],
    argv: Sequence[str] | None,
) -> int:
    """Measure and print; returns the exit code: 0, or 2 after wrong usage."""
    chosen = parser.parse_args(argv)
    name = parser.prog.rpartition(".")[2]
    try:
        report = measure(chosen)
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED
    hardware = detect_hardware()
    date = datetime.date.today().isoformat()
    print(f"{name}, {date}, {hardware_line(hardware)}\n")
    print_table(report.rows)
    for note in report.notes:
        print(f"- {note}")
    if chosen.json:
        machine = describe_versions(hardware, Path.cwd())
        head = {
            "benchmark": name,
            "date": date,
            "hardware": {key: machine.pop(key) for key in _HARDWARE},
            "versions": machine,
        }
        print(json.dumps({**head, **report.figures}))
    return 0


def progress(text: str) -> None:
    """What is being measured now, on standard error."""
    print(f"... {text}", file=sys.stderr, flush=True)


def hardware_line(hardware: Hardware) -> str:
    """A machine in one line.

    >>> hardware_line(Hardware(cpus=2, memory_gib=23.5, gpus=0, cpu_name="AMD EPYC"))
    '2 cores of AMD EPYC, 24 GiB, no GPU'
    """
    gpus = f"{hardware.gpus} x {hardware.gpu_name}" if hardware.gpus else "no GPU"
    return f"{hardware.cpus} cores of {hardware.cpu_name}, {hardware.memory_gib:.0f} GiB, {gpus}"


def print_table(rows: Sequence[Row]) -> None:
    """Three columns: what, value, goal."""
    wide = [max(len(getattr(row, name)) for row in rows) for name in ("what", "value")]
    for row in rows:
        goal = f"   {row.goal}" if row.goal else ""
        print(f"  {row.what:<{wide[0]}}   {row.value:>{wide[1]}}{goal}")
    print()


def verdict(goal: str, *, met: bool) -> str:
    """A goal and whether it was met.

    >>> verdict("at most 10 %", met=False)
    'goal: at most 10 %, MISSED'
    """
    return f"goal: {goal}, {'met' if met else 'MISSED'}"
