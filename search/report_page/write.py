"""From a search folder to its report, at any stage of the search. Only files are read."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.journal import JOURNAL_FILE, read_journal
from search.report_page.cost import cost_section
from search.report_page.curves import curves_section
from search.report_page.history import history_section
from search.report_page.losses import losses_section
from search.report_page.origin import commands_section, origin_section
from search.report_page.outcome import outcome_section
from search.report_page.parts import Page
from search.report_page.render import render
from search.report_page.settings import pareto_section, settings_section
from search.report_page.test_set import test_section
from search.report_page.trials import confirmation_section, failures_section, trials_section
from search.results import REPORT_NAME, SearchRecord, load_search
from search.show import DEFAULT_RUNS_DIR
from search.summary import summarize
from search.words import duration
from trainable.errors import UserError
from trainable.paths import write_text


def write_report(
    folder: Path, path: Path | None = None, *, runs_dir: str | None = None, now: float | None = None
) -> Path:
    """Write the report of the search in `folder`; nothing else is touched.

    Args:
        folder: Of the search, running or not.
        path: Where to; None: `report.html` in `folder`.
        runs_dir: As the user names it, for the commands on the page; None: as the search has it.
        now: Unix seconds.

    Returns:
        The file.

    Raises:
        UsageError: no search there, or a file of it is damaged.
        UserError: the file cannot be written.
    """
    path = folder / REPORT_NAME if path is None else path
    now = time.time() if now is None else now
    record = load_search(folder)
    if runs_dir is None:
        place = Path(record.spec.runs_dir)
        runs_dir = DEFAULT_RUNS_DIR if place == Path.cwd() / DEFAULT_RUNS_DIR else str(place)
    page = build_page(record, read_journal(folder / JOURNAL_FILE), runs_dir=runs_dir, now=now)
    html = render(page, f"Written {_clock(now)} by longtail-search. This file loads nothing.")
    try:
        write_text(path, html)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); name another file with --output"
        ) from None
    return path


def build_page(
    record: SearchRecord, events: Sequence[Mapping[str, Any]], *, runs_dir: str, now: float
) -> Page:
    """All sections that this search has something for, the outcome first."""
    summary = summarize(record)
    sections = (
        outcome_section(record, summary),
        confirmation_section(record, summary),
        losses_section(record, summary),
        pareto_section(record),
        history_section(record, events),
        curves_section(record, summary),
        settings_section(record),
        test_section(record),
        failures_section(record),
        cost_section(record, summary, now),
        trials_section(record),
        origin_section(record),
        commands_section(record, runs_dir),
    )
    return Page(
        title=record.spec.name,
        subtitle=_subtitle(record),
        status=_status(record, now),
        sections=tuple(section for section in sections if section is not None),
    )


def _subtitle(record: SearchRecord) -> str:
    config = record.spec.config
    frozen = " (frozen, a head is trained)" if config.tune == "head" else ""
    return f"Loss {record.spec.space.loss} on {config.dataset}, encoder {config.encoder}{frozen}"


def _status(record: SearchRecord, now: float) -> str:
    ended = sum(trial.ended is not None for trial in record.trials)
    state = record.status.replace("_", " ")
    said = f"{state}, {ended} of {record.spec.trials} trials ended, {duration(record.wall_s)}"
    began = f"; began {_clock(record.began)}" if record.began is not None else ""
    as_of = f"As of {_clock(now)}: " if record.status == "running" else ""
    return f"{as_of}{said}{began}" + (f"; {record.reason}" if record.reason else "")


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
