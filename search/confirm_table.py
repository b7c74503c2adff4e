"""A confirmation on a terminal: a table and the sentences below it, in per cent."""

from collections.abc import Mapping
from typing import Any, Final

from rich import box
from rich.table import Table

from search.words import in_percent
from trainable.objectives import objective_words

_CONVINCING: Final = 0.05


def confirmation_table(confirmed: Mapping[str, Any], paper_words: str) -> Table:
    """Mean and spread of each candidate's objective, in per cent.

    Args:
        confirmed: Of the summary.
        paper_words: What trial 0 is called.
    """
    seeds = ", ".join(map(str, confirmed["compared"])) or "none yet"
    title = f"confirmed: {objective_words(confirmed['objective'])} with the seeds {seeds}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("trial", justify="right", no_wrap=True)
    for name in ("in the search", "mean", "sd", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for row in confirmed["candidates"]:
        table.add_row(
            str(row["trial"]),
            in_percent(row["search_objective"]),
            in_percent(row["mean"]),
            in_percent(row["sd"]),
            str(row["n"]),
            ", ".join(_remarks(row, confirmed["winner"], paper_words)),
            style="bold" if row["trial"] == confirmed["winner"] else "",
        )
    return table


def confirmation_notes(confirmed: Mapping[str, Any], paper_words: str) -> list[str]:
    """What the numbers show, and what so few seeds cannot."""
    winner = confirmed["winner"]
    if winner is None:
        return [_no_winner(confirmed)]
    notes = []
    paper, other = confirmed["against_paper_values"], confirmed["against_runner_up"]
    if paper:
        notes.append(_comparison(f"trial {winner} over the {paper_words}", paper))
    if other and (not paper or other["trial"] != paper["trial"]):
        notes.append(
            _comparison(f"trial {winner} over the next best, trial {other['trial']}", other)
        )
    first = paper or other
    if first and first["smallest_p_flip"] > _CONVINCING:
        notes.append(
            f"{first['n']} seeds show little: sign flips cannot give less than p = "
            f"{first['smallest_p_flip']:.2g}, and the intervals take differences to be normal"
        )
    left = confirmed["runs"] - confirmed["ended"]
    if left:
        notes.append(f"{left} of {confirmed['runs']} runs are left: `resume` goes on with them")
    return notes


def _no_winner(confirmed: Mapping[str, Any]) -> str:
    if not confirmed["decided"]:
        return (
            f"{confirmed['ended']} of {confirmed['runs']} runs have ended, too few to choose by: "
            "the best is the search's own"
        )
    return (
        "no candidate trained to its last epoch with every seed: none is confirmed, and the best "
        "is the search's own"
    )


def _comparison(words: str, compared: Mapping[str, Any]) -> str:
    mean, low, high = (f"{100 * compared[key]:+.2f}" for key in ("mean", "low", "high"))
    p_values = [
        f"p = {compared[key]:.2g} by {name}"
        for key, name in (("p_t", "t-test"), ("p_flip", "sign flips"))
        if compared[key] is not None
    ]
    inside = ", ".join([f"{compared['level']:.0%} interval {low} to {high}", *p_values])
    return f"{words}, mean of {compared['n']} seeds: {mean} ({inside}): {_verdict(compared)}"


def _verdict(compared: Mapping[str, Any]) -> str:
    if compared["within_noise"]:
        return "within noise"
    p_flip = compared["p_flip"]
    doubted = p_flip is not None and p_flip > _CONVINCING
    return f"more than noise{', by the interval alone' if doubted else ''}"


def _remarks(row: Mapping[str, Any], winner: int | None, paper_words: str) -> list[str]:
    remarks = ["winner"] if row["trial"] == winner else []
    if row["paper_values"]:
        remarks.append(paper_words)
    for run in row["broken"]:
        remarks.append(f"out: {run['status'].replace('_', ' ')} with seed {run['seed']}")
    return remarks
