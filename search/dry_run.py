"""`python -m search run --dry-run`, and what every run says of itself before it begins."""

import json

from search.console import Terminal
from search.hardware import Hardware
from search.outlook import look_ahead
from search.outlook_table import outlook_line, outlook_table
from search.spec import SearchSpec
from search.tables import space_table
from trainable.encoded import EncodedDataset


def dry_run(
    spec: SearchSpec,
    data: EncodedDataset,
    hardware: Hardware,
    terminal: Terminal,
    *,
    as_json: bool,
) -> int:
    """Tell all that is known of a search; returns the exit code.

    Args:
        spec: with mu.
        data: encoded, with features for heads.
        hardware: of this machine.
        terminal: where to print; with `as_json` its standard output gets nothing but JSON.
        as_json: print one object instead of tables.

    Raises:
        UsageError: the search cannot run as asked.
    """
    talk = Terminal(terminal.err, terminal.err) if as_json else terminal
    outlook = look_ahead(spec, data, hardware, talk, dry_run=True)
    for warning in outlook.warnings:
        terminal.warn(warning)
    if as_json:
        terminal.say(json.dumps(outlook.to_mapping(), indent=2, ensure_ascii=False))
        return 0
    terminal.show(outlook_table(outlook))
    if spec.space.names:
        terminal.show(space_table(spec.space))
    terminal.say("nothing was written; the same without --dry-run runs it")
    return 0


def say_outlook(
    spec: SearchSpec, data: EncodedDataset, hardware: Hardware, terminal: Terminal
) -> None:
    """Check and say in short what a search will take.

    Raises:
        UsageError: a searched setting changes nothing, or a trial does not fit into memory.
    """
    outlook = look_ahead(spec, data, hardware, terminal, dry_run=False)
    for warning in outlook.warnings:
        terminal.warn(warning)
    line = outlook_line(outlook)
    if line:
        terminal.say(line)
