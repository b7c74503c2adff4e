"""A search while it runs: a live table on a terminal, plain lines anywhere else."""

import heapq
import itertools
import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from search.confirm_progress import confirm_header, confirm_line
from search.console import Printable
from search.journal import JOURNAL_FILE, read_journal
from search.progress_state import ProgressState, TrialState, apply, eta_s
from search.spec import SearchSpec
from search.words import value
from trainable.config import BEST_OBJECTIVE, OBJECTIVE
from trainable.objectives import MICRO_F1, objective_words

_REFRESH_HZ: Final = 2
_MAX_RUNNING: Final = 12
_MAX_ENDED: Final = 6
_WIDE: Final = 100
_BARS: Final = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_SHORT_NAMES: Final = {"learning_rate": "lr", "lambda_": "lambda", "weight_decay": "wd"}
_ALWAYS_TOLD: Final = frozenset({"trial_restarted", "confirm_restarted", "search_ended"})
_STYLES: Final = {
    "running": "cyan",
    "completed": "green",
    "stopped": "dim",
    "diverged": "yellow",
    "out_of_memory": "red",
    "failed": "red",
    "interrupted": "dim",
}


class Progress:
    """A listener of journal events that shows them on `console`; use it in a `with` block.

    What an earlier attempt at the search left in the journal counts from the start. `headline` is a
    line above the table.
    """

    def __init__(self, spec: SearchSpec, console: Console, headline: str = "") -> None:
        self._headline = headline
        self.state = ProgressState(spec=spec)
        self._console = console
        self._live: Live | None = None
        self._lock = threading.Lock()  # the live table is drawn by a thread of its own

    def __enter__(self) -> Self:
        for event in read_journal(self.state.spec.folder / JOURNAL_FILE):
            apply(self.state, event)
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                get_renderable=self._render,
                console=self._console,
                refresh_per_second=_REFRESH_HZ,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, event: dict[str, Any]) -> None:
        """Take in one event."""
        with self._lock:
            apply(self.state, event)
            text = describe(self.state, event)
        # the table shows the epochs; what must be read stays above it
        if text and (self._live is None or event["event"] in _ALWAYS_TOLD):
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        with self._lock:
            table = render(self.state, self._console.width, time.time())
        head = (Text(self._headline, no_wrap=True, overflow="ellipsis"),) if self._headline else ()
        return Printable(Group(*head, table))


def render(state: ProgressState, width: int, now: float) -> RenderableType:
    """The live view: a header, the running trials, and the best and latest of the others.

    Args:
        state: What is known.
        width: Columns of the terminal; 80 are enough.
        now: Unix seconds.
    """
    return Group(
        *(Text(line, no_wrap=True, overflow="ellipsis") for line in _header(state, now)),
        _table(state, wide=width >= _WIDE),
    )


def describe(state: ProgressState, event: Mapping[str, Any]) -> str:
    """One event as a line of text; "" for one that needs none. `state` is that after it."""
    kind = event["event"]
    if kind == "search_started":
        return _first_line(state)
    if kind == "search_ended":
        reason = f": {event['reason']}" if event.get("reason") else ""
        return f"search {event['status'].replace('_', ' ')}{reason}"
    confirmation = state.confirming.confirmation
    if kind.startswith("confirm_"):
        epochs = state.spec.longest.epochs
        return "" if confirmation is None else confirm_line(confirmation, event, epochs)
    if kind == "test_evaluated":
        return f"trial {event['trial']} on the test set: {_scores(event)}"
    trial = state.trials.get(event.get("trial", -1))
    return "" if trial is None else _trial_line(state, trial, event)


def settings(params: Mapping[str, Any]) -> str:
    """Sampled values, short.

    >>> settings({"learning_rate": 0.00012345, "gamma": 2.0})
    'lr 0.000123 gamma 2'
    """
    return " ".join(
        f"{_SHORT_NAMES.get(name, name)} {value(item)}" for name, item in params.items()
    )


def sparkline(values: Iterable[float], width: int = 10) -> str:
    """The last `width` values as bars between their extremes.

    >>> len(sparkline([0.1, 0.5, 0.9]))
    3
    """
    shown = list(values)[-width:]
    if not shown:
        return ""
    low, span = min(shown), (max(shown) - min(shown)) or 1.0
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in shown)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss.

    >>> clock(3725)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _first_line(state: ProgressState) -> str:
    spec = state.spec
    done = f", {state.num_ended} of them done" if state.num_ended else ""
    return (
        f"search {spec.name}: loss {spec.space.loss}, {spec.trials} trials{done}, "
        f"up to {spec.longest.epochs} epochs each"
    )


def _header(state: ProgressState, now: float) -> list[str]:
    spec, best = state.spec, state.best
    eta = eta_s(state, now)
    left = "unknown" if eta is None else f"about {clock(eta)}"
    confirmation = state.confirming.confirmation
    to_confirm = confirmation is not None and confirmation.left
    if state.num_ended >= spec.trials and not to_confirm:
        left = "scoring the best trial on the test set"
    counts = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in state.counts.items())
    lines = [
        f"{spec.name} | loss {spec.space.loss} | {clock(state.elapsed_s(now))} | to go: {left}",
        f"trials {state.num_ended}/{spec.trials}: {counts or 'starting Ray'}",
    ]
    if confirmation is not None:
        lines.append(confirm_header(confirmation))
    if best is not None:
        lines.append(
            f"best: trial {best.number}, epoch {best.metrics['best/epoch']:g}: "
            f"{objective_words(spec.config.objective, short=True)} {best.best:.4f} "
            f"at {best.metrics['best/threshold']:.2f}, macro-F1 {best.best_macro:.4f}"
        )
    return lines


def _table(state: ProgressState, *, wide: bool) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    judged = objective_words(state.spec.config.objective, short=True)
    for name in ("trial", "epoch", judged, "best", "macro-F1"):
        table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column("docs/s", justify="right", no_wrap=True)
        table.add_column("curve", no_wrap=True, min_width=10)
    table.add_column("status", no_wrap=True)
    table.add_column("settings")  # the one column that may shrink: its cells are cut, not wrapped
    best = state.best
    for trial in [*state.running[:_MAX_RUNNING], *_noteworthy(state)]:
        mark = "*" if best is not None and trial.number == best.number else ""
        style = _STYLES.get(trial.status, "")
        table.add_row(*_cells(trial, state.spec.longest.epochs, mark, wide=wide), style=style)
    return table


def _noteworthy(state: ProgressState) -> list[TrialState]:
    """Of the trials that ended: the best ones, then the latest ones."""
    ended = state.ended
    best = heapq.nsmallest(_MAX_ENDED // 2, ended, key=lambda t: (-t.best, t.number))
    shown = {trial.number for trial in best}
    latest = (trial for trial in reversed(ended) if trial.number not in shown)
    return [*best, *itertools.islice(latest, _MAX_ENDED - len(best))]


def _cells(trial: TrialState, epochs: int, mark: str, *, wide: bool) -> list[str | Text]:
    metrics = trial.metrics
    cells: list[str | Text] = [
        f"{mark}{trial.number}",
        f"{trial.epoch}/{epochs}",
        _score(metrics.get(OBJECTIVE)),
        _score(metrics.get(BEST_OBJECTIVE)),
        _score(metrics.get("val/macro_f1")),
    ]
    if wide:
        speed = metrics.get("time/train_docs_per_s")
        cells += ["" if speed is None else f"{speed:.0f}", sparkline(trial.curve)]
    cut = Text(settings(trial.params), no_wrap=True, overflow="ellipsis")
    return [*cells, trial.status.replace("_", " "), cut]


def _trial_line(state: ProgressState, trial: TrialState, event: Mapping[str, Any]) -> str:
    head = f"trial {trial.number}"
    match event["event"]:
        case "trial_started":
            again = f" (trial {event['resumes']} again)" if "resumes" in event else ""
            return f"{head} started{again}: {settings(trial.params)}"
        case "trial_restarted":
            return f"{head} starts again: {event['reason']}"
        case "epoch":
            return (
                f"{head} epoch {trial.epoch}/{state.spec.longest.epochs}: "
                f"{_scores(_validation(trial))}, best {_score(trial.metrics.get(BEST_OBJECTIVE))}, "
                f"{trial.metrics.get('time/train_docs_per_s', 0.0):.0f} docs/s"
            )
        case "trial_ended":
            reason = f" ({trial.reason})" if trial.reason else ""
            eta = eta_s(state)
            left = "" if eta is None else f", about {clock(eta)} to go"
            return (
                f"{head} {trial.status.replace('_', ' ')}{reason}: best "
                f"{_score(trial.metrics.get(BEST_OBJECTIVE)) or 'none'}; "
                f"{state.num_ended}/{state.spec.trials} trials done{left}"
            )
    return ""


def _validation(trial: TrialState) -> dict[str, float | None]:
    return {
        "micro_f1": trial.metrics.get(MICRO_F1),
        "macro_f1": trial.metrics.get("val/macro_f1"),
    }


def _scores(values: Mapping[str, Any]) -> str:
    return f"micro-F1 {_score(values['micro_f1'])}, macro-F1 {_score(values['macro_f1'])}"


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
