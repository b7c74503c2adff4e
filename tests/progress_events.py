"""Events of a search as its live view hears them."""

import io

from rich.console import Console

from search.progress_state import ProgressState, apply
from tests.small_search import small_spec

PARAMS = {"learning_rate": 3e-5, "gamma": 1.5, "lambda_": 2.0}


def started(number, at, **more):
    return {"event": "trial_started", "trial": number, "params": PARAMS, "time": at, **more}


def epoch(number, epoch, at, value=0.5, best=None, epoch_s=10.0):
    return {
        "event": "epoch",
        "trial": number,
        "epoch": epoch,
        "time": at,
        "metrics": {
            "val/objective": value,
            "val/micro_f1": value,
            "val/macro_f1": value / 2,
            "best/objective": value if best is None else best[0],
            "best/epoch": epoch if best is None else best[1],
            "best/threshold": 0.41,
            "time/epoch_s": epoch_s,
            "time/train_docs_per_s": 123.4,
        },
    }


def ended(number, at, status="completed", reason="all 5 epochs"):
    return {"event": "trial_ended", "trial": number, "status": status, "reason": reason, "time": at}


def begun(at=1000.0, attempt=1):
    return {"event": "search_started", "attempt": attempt, "time": at}


def fold(spec, *events):
    state = ProgressState(spec=spec)
    for event in events:
        state = apply(state, event)
    return state


def text_of(renderable, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(renderable)
    return console.file.getvalue()


def progress_spec(folder):
    """Of a search whose four trials have five epochs each, two at once."""
    spec = small_spec(folder, trials=4, epochs=5, max_concurrent=2)
    spec.folder.mkdir()
    return spec
