"""`python -m search compare`: plan, run what is left, gather, tell."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from search.compare.folder import MARKDOWN_NAME, folder_of, write_comparison, write_copy
from search.compare.gather import Entry, gather, svm_of
from search.compare.numbers import comparison
from search.compare.request import CompareRequest, compare_request
from search.compare.running import ensure_svm, run_searches
from search.compare.searches import Planned, is_done, plan_searches
from search.compare.sheets import Sheet, sheets
from search.console import Terminal
from search.hardware import detect_hardware
from search.preflight import check_folder
from search.results import load_search
from search.spec import SPEC_NAME
from trainable.errors import UsageError
from trainable.paths import expand


def run_compare(options: argparse.Namespace, terminal: Terminal) -> int:
    """Compare losses; returns the exit code.

    Raises:
        UsageError: what was asked for cannot be, or does not compare; what was searched stays.
        UserError: too few searches came to an end, or the files cannot be written.
    """
    request = compare_request(options)
    runs_dir = expand(request.run.runs_dir, "--runs-dir").absolute()
    out = None if request.out is None else expand(request.out, "--out")
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise UsageError(f"--out {out}: must be a file in a folder that there is")
    check_folder(runs_dir)
    if request.gather:
        return _tell(request, gather(request.gather, runs_dir), runs_dir, out, terminal)
    plan = plan_searches(request, detect_hardware())
    terminal.show(plan_table(request, plan))
    code = run_searches(plan, terminal)
    if code:
        return code
    ensure_svm(plan, request.run, terminal)
    done = [s.name for s in plan if _has_ended(s)]
    return _tell(request, gather(done, runs_dir), runs_dir, out, terminal) or len(done) < len(plan)


def plan_table(request: CompareRequest, plan: Sequence[Planned]) -> Table:
    """What will run, and what there is."""
    table = Table(box=None, pad_edge=False, title=f"comparison {request.name}")
    table.title_justify = "left"
    for name in ("loss", "search", ""):
        table.add_column(name, no_wrap=True)
    words = {"new": "will run", "begun": "goes on", "done": "is done"}
    for search in plan:
        table.add_row(search.loss, search.name, words[search.state])
    return table


def show_sheet(sheet: Sheet, terminal: Terminal) -> None:
    """A table and its notes on a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=sheet.title, title_justify="left")
    for place, name in enumerate(sheet.columns):
        wordy = place < 2 or not sheet.numbers
        table.add_column(name, justify="left" if wordy else "right", overflow="fold")
    last = ""
    for row in sheet.rows:
        shown = "" if row[0] == last else row[0]
        table.add_row(shown, *row[1:], style="bold" if row[1] == "tuned, test" else "")
        last = row[0]
    terminal.show(table)
    for note in sheet.notes:
        terminal.note(note)


def _tell(
    request: CompareRequest,
    entries: Sequence[Entry],
    runs_dir: Path,
    out: Path | None,
    terminal: Terminal,
) -> int:
    content = comparison(request.name, entries, svm_of(entries))
    tables = sheets(content)
    folder = folder_of(runs_dir, request.name)
    for sheet in tables:
        show_sheet(sheet, terminal)
    write_comparison(folder, content, tables)
    if out is not None:
        write_copy(out, content, tables)
    terminal.say()
    terminal.say(f"comparison     {folder / MARKDOWN_NAME}, and as .json and .csv beside it")
    if out is not None:
        terminal.say(f"copy           {out}")
    return 0


def _has_ended(search: Planned) -> bool:
    return (search.folder / SPEC_NAME).is_file() and is_done(load_search(search.folder))
