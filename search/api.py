"""Searches from Python: `from search import run_search, load_search`.

The options are those of the command line, under the same names, and a search run here is a search
like any other: its folder, MLflow, `python -m search resume`. What is added are frames and figures.
"""

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from trainable.errors import UsageError, unknown_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from search.console import Terminal
    from search.results import SearchRecord, TrialRecord
    from search.spec import SearchSpec
    from trainable.best import BestConfig

DEFAULT_RUNS_DIR: Final = "runs"
_OF_THE_COMMAND_LINE: Final = frozenset({"dry_run", "json"})


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """In notebooks, tqdm and ray advise widgets when they are imported: nothing here shows any."""
    logger = logging.getLogger("ray.widgets.util")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="IProgress not found")
            yield
    finally:
        logger.setLevel(level)


@_without_advice()
def run_search(*, quiet: bool = False, **options: Any) -> "Search":
    """Run a search to its end, as `python -m search run` does.

    Interrupting it (the notebook's stop button, Ctrl-C) ends it cleanly: what there is comes back
    with the status `interrupted`, and `Search.resume` goes on.

    Args:
        quiet: print warnings alone.
        **options: those of `python -m search run`, with `_` for `-`: `loss="db"`, `trials=16`,
            `data="my.jsonl"`, ... `settings` is a mapping (`--set`); `points` and `warm_start` are
            sequences; budgets are in seconds (`time_budget`, `compute_budget`) and GiB
            (`disk_budget`). What is left out is chosen as on the command line.

    Raises:
        UsageError: bad input; nothing was written.
        UserError: the search failed, such as when no trial finished an epoch.
    """
    from search.request import RunRequest
    from search.resolve import name_of
    from search.run import run_search as run

    _check(options, {field.name for field in dataclasses.fields(RunRequest)} - _OF_THE_COMMAND_LINE)
    settings = options.pop("settings", {})
    for name in ("points", "warm_start"):
        options[name] = _paths(options.get(name, ()))
    for name in ("data", "space", "encoder", "runs_dir"):
        if options.get(name) is not None:
            options[name] = str(options[name])
    request = RunRequest(
        **options, settings=tuple(f"{name}={value}" for name, value in settings.items())
    )
    request = dataclasses.replace(request, name=name_of(request))
    run(request, _terminal(quiet=quiet))
    return load_search(str(request.name), runs_dir=request.runs_dir)


def load_search(name: str | Path, *, runs_dir: str | Path = DEFAULT_RUNS_DIR) -> "Search":
    """A search as its folder tells it, whoever ran it, and also while it runs.

    Args:
        name: of the search, or the path of its folder.
        runs_dir: where it lies; not asked where `name` is a path.

    Raises:
        UsageError: no such search, or a file of it is damaged.
    """
    from search.preflight import find_search
    from trainable.paths import expand

    path = Path(name)
    if len(path.parts) > 1:
        runs_dir = path.parent
    return Search(find_search(path.name, expand(str(runs_dir), "runs_dir").absolute()))


class Search:
    """One search, as it was when this object was made (or `reload` called): read-only.

    Scores are in [0, 1]. Frames are pandas', figures matplotlib's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: SearchRecord
        """All that the folder says."""
        self.reload()

    def reload(self) -> Self:
        """Read the folder again: a running search has got further."""
        from search.results import load_search as read

        self.record = read(self.folder)
        return self

    @_without_advice()
    def resume(self, *, quiet: bool = False, **options: Any) -> Self:
        """Continue an interrupted search, or extend it: as `python -m search resume`.

        Args:
            quiet: print warnings alone.
            **options: those of `python -m search resume`, such as `add_trials=16`.

        Raises:
            UsageError: it is running, it is not what it was, or an option is wrong.
            UserError: the search failed.
        """
        from search.resume import RESUME_OPTIONS, ResumeRequest, resume_changes
        from search.run import resume_search

        own = {"add_trials", "accept_changes", "trust"}
        _check(options, own | set(RESUME_OPTIONS))
        request = ResumeRequest(
            name=self.name,
            runs_dir=str(self.folder.parent),
            changes=resume_changes(options),
            **{name: options[name] for name in own & set(options)},
        )
        resume_search(request, _terminal(quiet=quiet))
        return self.reload()

    @property
    def name(self) -> str:
        """Of the folder, the Optuna study and the MLflow run."""
        return self.record.spec.name

    @property
    def spec(self) -> "SearchSpec":
        """What is searched, resolved."""
        return self.record.spec

    @property
    def status(self) -> str:
        """`running`, or how it ended: `search.journal.SEARCH_STATUSES`."""
        return self.record.status

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json, as of now."""
        from search.summary import summarize

        return summarize(self.record)

    @property
    def best(self) -> "TrialRecord | None":
        """The trial that is exported and scored on the test set; None before the first epoch."""
        return self.record.best

    @property
    def best_config(self) -> "BestConfig":
        """Everything that trains the best trial's model again.

        Raises:
            UserError: no trial has finished an epoch.
        """
        from search.export import best_config

        return best_config(self.record)

    @property
    def trials(self) -> "pd.DataFrame":
        """One row a trial: the columns of trials.csv, by the trial's number."""
        from search.frames import trials_frame

        return trials_frame(self.record)

    @property
    def epochs(self) -> "pd.DataFrame":
        """One row a finished epoch with all its metrics, by trial and epoch."""
        from search.frames import epochs_frame

        return epochs_frame(self.record)

    @property
    def confirmation(self) -> "pd.DataFrame":
        """With `confirm`: the objective of the best configurations, by trial and seed."""
        from search.frames import confirmation_frame

        return confirmation_frame(self.record)

    @property
    def scores(self) -> "pd.DataFrame":
        """Micro- and macro-F1 of the paper's values and of the best trial."""
        from search.frames import scores_frame

        return scores_frame(self.record)

    @property
    def per_label(self) -> "pd.DataFrame":
        """One row a label: the winner on the test set; empty while that is sealed."""
        from search.frames import per_label_frame

        return per_label_frame(self.record)

    def figure(self, name: str = "learning_curves") -> "Figure":
        """A figure of `plots/`, drawn from what there is now.

        Args:
            name: `learning_curves`, `threshold_curve` or `groups`.

        Raises:
            UsageError: there is no figure of that name, or nothing to draw yet.
        """
        from search.plots import FIGURES, figures

        found = figures(self.record)
        if name not in FIGURES:
            raise unknown_name("figure", name, FIGURES)
        if name not in found:
            raise UsageError(f"figure '{name}' of '{self.name}' has nothing to show yet")
        return found[name]

    def export(self, path: str | Path) -> Path:
        """Write the best configuration, for `python -m trainable PATH --out MODEL`.

        Raises:
            UserError: there is none yet, or `path` cannot be written.
        """
        from search.export import write_best

        write_best(self.record, Path(path))
        return Path(path)

    def __repr__(self) -> str:
        best = self.best
        score = "" if best is None else f", best {best.best_objective:.4f} (trial {best.number})"
        trials = f"{len(self.record.trials)} of {self.spec.trials} trials"
        return f"<Search {self.name}: {self.status}, {trials}{score}>"


def _check(options: Mapping[str, Any], known: set[str]) -> None:
    for name in options:
        if name not in known:
            raise unknown_name("option", name, sorted(known))


def _paths(values: Any) -> tuple[str, ...]:
    return (str(values),) if isinstance(values, str | Path) else tuple(map(str, values))


def _terminal(*, quiet: bool) -> "Terminal":
    from search.console import Terminal

    return Terminal.quiet() if quiet else Terminal()
