"""`sync`: what MLflow could not be told while searches ran, told now."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from search.console import Terminal
from search.credentials import from_environment
from search.spec import SPEC_NAME, SearchSpec
from search.strangers import check_entries, check_sending
from search.tracking import Synced, check_tracking, sync
from trainable.errors import UserError


def sync_search(
    folder: Path, tracking_uri: str | None, terminal: Terminal, *, as_json: bool
) -> int:
    """Record one search whole; returns the exit code.

    Args:
        folder: Of the search.
        tracking_uri: Where to; None: where the search was to be recorded.
        terminal: For one line, of JSON if that is asked for.
        as_json: Whether it is JSON.

    Raises:
        UsageError: the folder, or where its search was to be recorded, is a stranger's.
        UserError: the store cannot be used, or did not take it all.
    """
    check_entries(folder)
    uri = tracking_uri or _own_address(folder)
    if uri is not None:  # else it is the store beside the search, whatever the environment says
        uri = from_environment("tracking_uri", uri)
    check_tracking(uri, folder.parent)
    with terminal.progress("runs of {}") as bar:
        synced = sync(folder, tracking_uri=uri, on_sent=lambda *sent: bar(folder.name, *sent))
    terminal.say(json.dumps(dataclasses.asdict(synced)) if as_json else _line(synced))
    return 0


def sync_all(
    folders: Sequence[Path], tracking_uri: str | None, terminal: Terminal, *, as_json: bool
) -> int:
    """`sync_search` for each; returns the exit code: 1 if one could not be, which is told."""
    failed = 0
    for folder in folders:
        try:
            sync_search(folder, tracking_uri, terminal, as_json=as_json)
        except UserError as error:
            failed += 1
            terminal.warn(f"{folder.name}: {error}")
    return 1 if failed else 0


def _own_address(folder: Path) -> str | None:
    spec = SearchSpec.load(folder / SPEC_NAME)
    check_sending(spec.replace(runs_dir=str(folder.parent), name=folder.name))
    return spec.tracking_uri


def _line(synced: Synced) -> str:
    if not synced.runs:
        return f"{synced.name}: no trial has started, nothing to record"
    new = f", {synced.new} of them new" if synced.new else ", as before"
    return f"{synced.name}: {synced.runs} runs in {synced.store}{new}"
