"""What a search ends with on the terminal, and `show` prints: the results, where they lie."""

from collections.abc import Mapping, Sequence
from typing import Any

from search.by_loss import losses_table
from search.confirm_table import confirmation_notes, confirmation_table
from search.console import Terminal
from search.export import BEST_NAME
from search.results import REPORT_NAME, SearchRecord
from search.summary import SUMMARY_NAME, TRIALS_NAME
from search.tables import pareto_table, score_notes, scores_table, start_words, trials_table


def show_results(record: SearchRecord, summary: Mapping[str, Any], terminal: Terminal) -> None:
    """Tables, then what is to be said of them."""
    confirmed, paper = summary["confirmation"], start_words(record)
    if record.trials:
        terminal.show(trials_table(record))
    by_loss = losses_table(summary)
    if by_loss is not None:
        terminal.show(by_loss)
    if record.best is not None:
        terminal.show(scores_table(record, summary))
    front = pareto_table(record)
    if front is not None:
        terminal.show(front)
    if confirmed:
        terminal.show(confirmation_table(confirmed, paper))
    for note in score_notes(record, summary):
        terminal.note(note)
    for note in confirmation_notes(confirmed, paper) if confirmed else ():
        terminal.note(note)


def say_where(record: SearchRecord, terminal: Terminal, links: Sequence[str]) -> None:
    """Where the results lie that are written, what retrains the best, and the pages of MLflow."""
    folder = record.folder
    if (folder / SUMMARY_NAME).is_file():
        terminal.say(f"results        {folder / SUMMARY_NAME}, {TRIALS_NAME}")
    if record.best is not None and (folder / BEST_NAME).is_file():
        terminal.say(f"best settings  {folder / BEST_NAME}")
        terminal.say(f"retrain        python -m trainable {folder / BEST_NAME} --out MODEL")
    if (folder / REPORT_NAME).is_file():
        terminal.say(f"report         {folder / REPORT_NAME}")
    for label, line in zip(("MLflow", *[""] * 9), links, strict=False):
        terminal.say(f"{label:<15}{line}")
