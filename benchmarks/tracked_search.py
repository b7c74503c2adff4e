"""The folder of a search that was never run, as a search leaves it: for trackers to record."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from search.files import write_json
from search.journal import JOURNAL_FILE
from search.results import DATASET_NAME
from search.spec import SPEC_NAME, SearchSpec
from spaces import space_for
from trainable.config import TrialConfig

METRICS: Final = 12
"""Of an epoch; three of them are of the best epoch so far, which each one here is."""
SLOTS: Final = 8
"""Trials at once."""
_VALUES: Final = (
    *("train/loss", "train/learning_rate", "val/loss", "val/objective", "val/micro_f1"),
    *("val/macro_f1", "val/threshold", "time/epoch_s", "time/train_docs_per_s"),
)
_START: Final = 1_700_000_000.0


def write_folder(folder: Path, *, trials: int, epochs: int, whole: bool = True) -> None:
    """Write spec and dataset, and the journal unless it is written as time goes by.

    Args:
        folder: Of the search; its name is the search's.
        trials: How many there are.
        epochs: Of each.
        whole: Whether the journal is written too.
    """
    folder.mkdir(parents=True)
    spec = SearchSpec(
        name=folder.name,
        runs_dir=str(folder.parent),
        preset="smoke",
        config=TrialConfig(loss="db", epochs=epochs, mu=0.5),
        space=space_for("db", mu=0.5),
        trials=trials,
        grace_period=1,
        reduction_factor=3,
        cpus_per_trial=1,
        max_concurrent=SLOTS,
    )
    spec.save(folder / SPEC_NAME)
    write_json(folder / DATASET_NAME, {"name": folder.name, "fingerprint": "ab" * 32})
    if whole:
        with (folder / JOURNAL_FILE).open("w") as file:
            for number, event in enumerate(events(trials, epochs)):
                file.write(json.dumps({**event, "time": _START + 0.1 * number}) + "\n")


def events(trials: int, epochs: int) -> Iterator[dict[str, Any]]:
    """The events of a journal, without their times: `SLOTS` trials at once, all to their end."""
    yield {"event": "search_started", "attempt": 1}
    for first in range(0, trials, SLOTS):
        together = range(first, min(first + SLOTS, trials))
        for trial in together:
            yield {"event": "trial_started", "trial": trial, "params": params(trial)}
        for epoch in range(1, epochs + 1):
            for trial in together:
                values = metrics(trial, epoch)
                yield {"event": "epoch", "trial": trial, "epoch": epoch, "metrics": values}
        for trial in together:
            yield {"event": "trial_ended", "trial": trial, "status": "completed", "reason": ""}
    yield {"event": "search_ended", "status": "completed", "reason": ""}


def params(trial: int) -> dict[str, float]:
    """A trial's settings: seven, as `db` has."""
    names = ("learning_rate", "gamma", "alpha", "beta", "mu", "kappa", "lambda_")
    return {name: 1e-4 * (1 + trial % 97) * (1 + place) for place, name in enumerate(names)}


def metrics(trial: int, epoch: int) -> dict[str, float]:
    """An epoch's `METRICS` numbers; each epoch is the trial's best one."""
    score = 0.9 - 0.5 * math.exp(-epoch / 9) - 1e-5 * (trial * 7919 % 10_007)
    values = {name: score / (1 + place) for place, name in enumerate(_VALUES)}
    best = {"best/objective": score, "best/epoch": float(epoch), "best/threshold": 0.4}
    return {**values, **best}
