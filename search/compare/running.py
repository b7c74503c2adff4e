"""Runs the searches of a comparison, one after the other; what is done is left alone.

In this process: a search that is interrupted ends the comparison, cleanly, and the same command
goes on. One that fails costs its row, not the others.
"""

import statistics
from collections.abc import Sequence

from search.baseline.folder import find_baselines
from search.compare.searches import Planned
from search.console import Terminal
from search.files import read_json
from search.request import RunRequest
from search.results import DATASET_NAME, load_search
from search.resume import ResumeRequest
from search.run import DONE, INTERRUPTED, resume_search, run_search
from search.words import duration
from trainable.errors import UsageError, UserError, one_line

_DATA_SETTINGS = (
    *("dataset", "data_path", "split_seed", "max_train_docs", "max_val_docs", "max_test_docs"),
    *("text_column", "labels_column", "split_column", "label_separator"),
)


def run_searches(plan: Sequence[Planned], terminal: Terminal) -> int:
    """Run what is left; returns the exit code: 0, or 130 after Ctrl-C.

    Raises:
        UsageError: a search cannot run as asked.
    """
    failed = []
    took = [search.wall_s for search in plan if search.state == "done"]
    for place, search in enumerate(plan):
        if search.state == "done":
            continue
        terminal.headline = headline(plan, place, took)
        terminal.say()
        terminal.say(terminal.headline, style="bold")
        try:
            code = _run(search, terminal)
        except UsageError:
            raise
        except UserError as error:
            terminal.warn(f"search {search.name} failed: {one_line(error)}")
            failed.append(search.loss)
            continue
        finally:
            terminal.headline = ""
        if code == INTERRUPTED:
            terminal.say("the comparison was interrupted; the same command goes on with it")
            return INTERRUPTED
        took.append(load_search(search.folder).wall_s)
    if len(plan) - len(failed) < 2:
        raise UserError(
            f"searches failed ({', '.join(failed)}) and fewer than two are left to compare; the "
            "same command tries them again"
        )
    return DONE


def headline(plan: Sequence[Planned], place: int, took: Sequence[float]) -> str:
    """Where the comparison stands, on one line.

    Args:
        plan: Its searches.
        place: Of the one that runs now.
        took: Seconds of each that is over.
    """
    left = [search.loss for search in plan[place + 1 :] if search.state != "done"]
    after = f", then {', '.join(left)}" if left else ", the last one"
    each = statistics.fmean(took) if took else 0.0
    time = f", about {duration(each * (len(left) + 1))} to go" if took else ""
    return f"comparison: search {place + 1} of {len(plan)}, loss {plan[place].loss}{after}{time}"


def ensure_svm(plan: Sequence[Planned], request: RunRequest, terminal: Terminal) -> None:
    """Train the paper's SVM on the same documents, unless that was done; a failure is a warning."""
    from argparse import Namespace

    from search.baseline.command import run_baseline

    folder = next(search.folder for search in plan if (search.folder / DATASET_NAME).is_file())
    fingerprint = (read_json(folder / DATASET_NAME) or {}).get("fingerprint")
    if any(found.kind == "svm" for found in find_baselines(folder.parent, fingerprint)):
        return
    config = load_search(folder).spec.config.to_mapping()
    options = Namespace(
        kind="svm",
        dataset=None,
        data=None,
        split_seed=None,
        max_train_docs=None,
        settings=[f"{name}={config[name]}" for name in _DATA_SETTINGS if name in config],
        json=False,
        runs_dir=request.runs_dir,
        tracking_uri=request.tracking_uri,
    )
    terminal.say()
    try:
        run_baseline(options, terminal)
    except UserError as error:
        terminal.warn(f"no SVM beside the losses: {one_line(error)}")


def _run(search: Planned, terminal: Terminal) -> int:
    if search.state == "new":
        return run_search(search.request, terminal)
    request = ResumeRequest(
        name=search.name, runs_dir=search.request.runs_dir, trust=search.trusted
    )
    return resume_search(request, terminal)
