"""A search as pandas frames: what trials.csv, the journal and test_report.json say, as tables.

Scores are in [0, 1], as everywhere but on a terminal.
"""

from typing import TYPE_CHECKING

from search.results import SearchRecord
from search.summary import trial_rows

if TYPE_CHECKING:
    import pandas as pd


def trials_frame(record: SearchRecord) -> "pd.DataFrame":
    """One row a trial, with the columns of trials.csv; the index is the trial's number."""
    import pandas as pd

    columns, rows = trial_rows(record)
    return pd.DataFrame(rows, columns=columns).set_index("trial")


def epochs_frame(record: SearchRecord) -> "pd.DataFrame":
    """One row a finished epoch, by trial and epoch: the learning curves."""
    import pandas as pd

    rows = [{"trial": trial.number, **row} for trial in record.trials for row in trial.epochs]
    frame = pd.DataFrame(rows, columns=None if rows else ["trial", "epoch"])
    return frame.astype({"trial": int, "epoch": int}).set_index(["trial", "epoch"])


def confirmation_frame(record: SearchRecord) -> "pd.DataFrame":
    """One row a run that confirms: its objective by trial and seed; empty without --confirm."""
    import pandas as pd

    found = record.confirmation
    rows = [
        (trial, seed, score)
        for trial in (found.trials if found else ())
        for seed, score in (found.scores(trial) if found else {}).items()
    ]
    return pd.DataFrame(rows, columns=["trial", "seed", "objective"]).set_index(["trial", "seed"])


def per_label_frame(record: SearchRecord) -> "pd.DataFrame":
    """One row a label: what the winner scored on the test set; empty while that is sealed."""
    import pandas as pd

    rows = (record.test_report or {}).get("per_label", [])
    frame = pd.DataFrame(rows, columns=None if rows else ["label"])
    return frame.set_index("label")


def scores_frame(record: SearchRecord) -> "pd.DataFrame":
    """Micro- and macro-F1 of all, head, medium and tail labels.

    One row each for the paper's values and the best trial on validation, and for the best trial on
    the test set; a row is absent where nothing is known.
    """
    import pandas as pd

    from search.summary import summarize
    from trainable.datasets.records import GROUPS

    summary = summarize(record)
    paper = summary["paper_values"]
    rows = {
        ("paper's values", "val"): paper["validation"] if paper else None,
        ("best", "val"): summary["validation"],
        ("best", "test"): summary["test"],
    }
    cells = {
        key: {
            (part, score): (row if part == "total" else row.get(part) or {}).get(score)
            for part in ("total", *GROUPS)
            for score in ("micro_f1", "macro_f1")
        }
        for key, row in rows.items()
        if row is not None
    }
    frame = pd.DataFrame.from_dict(cells, orient="index")
    frame.index = pd.MultiIndex.from_tuples(list(cells), names=["configuration", "split"])
    if cells:
        frame.columns = pd.MultiIndex.from_tuples(list(frame.columns), names=["labels", "score"])
    return frame
