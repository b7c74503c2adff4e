"""Hand-written events of a confirmation, and a search folder that has one: for fast tests."""

from tests.search_folder import (
    BEST_TRIAL,
    EPOCHS,
    append_events,
    epoch_metrics,
    write_search_folder,
)
from trainable.config import BEST_OBJECTIVE, OBJECTIVE

SEEDS = (1, 2, 3)
TRIALS = (2, 0)
# trial 2 is better with every seed, but by no steady margin
SCORES = {
    (2, 1): 0.80,
    (0, 1): 0.79,
    (2, 2): 0.83,
    (0, 2): 0.78,
    (2, 3): 0.82,
    (0, 3): 0.80,
}


def plan(trials=TRIALS, seeds=SEEDS, paper=0):
    return {"event": "confirm_planned", "trials": [*trials], "seeds": [*seeds], "paper": paper}


def run(trial, seed, best, *, epochs=EPOCHS, status="completed", reason=""):
    """A run whose objective rises to `best`; `status` None: it has not ended."""
    pair = {"trial": trial, "seed": seed}
    rows = [{"event": "confirm_started", **pair}]
    for epoch in range(1, epochs + 1):
        value = best - 0.01 * (epochs - epoch)
        metrics = {
            **epoch_metrics(trial, epoch),
            OBJECTIVE: value,
            "val/micro_f1": value,
            "val/macro_f1": value - 0.2,
            BEST_OBJECTIVE: value,
            "best/epoch": epoch,
            "best/threshold": 0.3,
        }
        rows.append({"event": "confirm_epoch", **pair, "epoch": epoch, "metrics": metrics})
    if status is not None:
        rows.append({"event": "confirm_ended", **pair, "status": status, "reason": reason})
    return timed(rows)


def timed(rows, start=2e9):
    return [{**row, "time": start + index} for index, row in enumerate(rows)]


def whole(scores=None, **planned):
    """The plan and all its runs."""
    rows = [plan(**planned)]
    for (trial, seed), best in (scores or SCORES).items():
        rows += run(trial, seed, best)
    return timed(rows)


def write_confirmed_search(folder, rows=None):
    """A search of which trial 2 was the best; its confirmation follows."""
    write_search_folder(folder)
    append_events(folder, [{"event": "search_started", "attempt": 2, "time": 2e9}])
    append_events(folder, whole() if rows is None else rows)
    append_events(folder, [{"event": "search_ended", "status": "completed", "time": 2e9 + 60}])
    return folder


assert BEST_TRIAL == 2
