"""An outlook for a terminal: a table for `--dry-run`, a line before a run."""

import time

from rich.table import Table
from rich.text import Text

from search.chosen import facts_table
from search.outlook import Outlook
from search.words import duration

_GIB = 2**30


def outlook_table(outlook: Outlook) -> Table:
    """What a search will take, fact by fact."""
    spec, probed, ahead = outlook.spec, outlook.probed, outlook.forecast
    table = facts_table("outlook")
    if probed is None or ahead is None:
        table.add_row("not measured", Text(outlook.not_measured))
    else:
        train, val = outlook.documents["train"], outlook.documents["val"]
        table.add_row(
            "an epoch",
            f"{_seconds(probed.epoch_s)}: {train:,} documents to train on, {val:,} to validate "
            f"({_timed(outlook)})",
        )
        whole = duration(spec.longest.epochs * probed.epoch_s)
        table.add_row("a trial", f"at most {whole}; {_memory(outlook)}")
        place = "GPU memory" if probed.memory_total else "memory"
        fit = f"by cores {ahead.fit_by_cores}, by {place} {ahead.fit_by_memory}"
        table.add_row("at once", f"{spec.max_concurrent}; what fits here: {fit}")
    table.add_row("ASHA", _reach(outlook))
    if ahead is not None:
        table.add_row(
            "in all",
            f"{_total(outlook)}; {ahead.expected_epochs:.0f} of {ahead.longest_epochs} epochs",
        )
    most, free = outlook.disk_most / _GIB, outlook.disk_free / _GIB
    folder = Text(f"at most {most:.1f} GiB in {spec.folder}; {free:.1f} GiB are free")
    table.add_row("disk", folder)
    return table


def outlook_line(outlook: Outlook) -> str:
    """The same in short; "" where nothing was measured."""
    probed = outlook.probed
    if probed is None or outlook.forecast is None:
        return ""
    return (
        f"expected: {_seconds(probed.epoch_s)} an epoch ({_timed(outlook)}), "
        f"in all {_total(outlook)}; a trial takes {_memory(outlook)}"
    )


def _timed(outlook: Outlook) -> str:
    """How it was measured."""
    probed = outlook.probed
    assert probed is not None
    count = "one trial alone" if probed.at_once == 1 else f"{probed.at_once} trials at once"
    age = time.time() - probed.measured_at
    when = "" if age < 120 else f", measured {duration(age)} ago"
    busy = ", on a busy machine" if probed.busy else ""
    return f"{count}, {probed.device}, {probed.precision}{when}{busy}"


def _total(outlook: Outlook) -> str:
    ahead = outlook.forecast
    assert ahead is not None
    expected, longest = duration(ahead.expected_s), duration(ahead.longest_s)
    total = f"about {expected}" + (f", at most {longest}" if expected != longest else "")
    if ahead.budget_s is not None:
        total += f" (its budget ends it after {duration(ahead.budget_s)})"
    return total


def _memory(outlook: Outlook) -> str:
    probed = outlook.probed
    assert probed is not None
    return f"{probed.memory_bytes / _GIB:.1f} of {outlook.memory_total / _GIB:.1f} GiB"


def _reach(outlook: Outlook) -> str:
    """Trials by rung: `32 trials reach epoch 3, about 11 epoch 9, 4 the last one (30)`."""
    first, *others = outlook.reach
    if not others:
        return f"stops none: all {first.trials:.0f} trials reach epoch {first.epoch}"
    parts = [f"{first.trials:.0f} trials reach epoch {first.epoch}"]
    parts += [f"about {max(1, round(stage.trials))} epoch {stage.epoch}" for stage in others]
    return f"{', '.join(parts)} (the last)"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else duration(seconds)
