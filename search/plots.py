"""Pictures of a search, as PNG files. The only importer of matplotlib.

Figures are built as objects on the Agg canvas: no pyplot, no global state, no display, safe in
any thread. Colours are from Okabe and Ito's palette, told apart by colour-blind readers, and every
series also differs by line style or carries its name.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainable.config import OBJECTIVE
from trainable.datasets.records import GROUPS
from trainable.objectives import objective_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from search.published import PublishedRow
    from search.results import SearchRecord, TrialRecord

BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
VERMILION: Final = "#D55E00"
GREY: Final = "#8A8A8A"
INK: Final = "#222222"

FIGURES: Final = ("learning_curves", "threshold_curve", "groups")
"""Their names, and those of their files."""

_SIZE: Final = (8.0, 4.8)  # inches
_DPI: Final = 120
_TRIAL_COLOURS: Final = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", VERMILION)
_LEGEND_TRIALS: Final = 6


def draw_plots(record: "SearchRecord", published: "PublishedRow | None" = None) -> tuple[Path, ...]:
    """Draw all that the record has data for, into `plots/` of its folder.

    Args:
        record: a search, at any stage.
        published: the paper's test results for this dataset and loss, if it has any.

    Returns:
        The files written.
    """
    found = figures(record, published)
    return tuple(
        _save(figure, record.folder / "plots" / f"{name}.png") for name, figure in found.items()
    )


def figures(record: "SearchRecord", published: "PublishedRow | None" = None) -> "dict[str, Figure]":
    """Those of `FIGURES` that the record has data for, by name."""
    found = {}
    if any(trial.epochs for trial in record.trials):
        judged = objective_words(record.spec.config.objective)
        found["learning_curves"] = learning_curves_figure(record.trials, judged)
    if record.test_report is not None:
        found["threshold_curve"] = threshold_figure(record.test_report)
        found["groups"] = groups_figure(record.test_report, published)
    return found


def threshold_figure(report: Mapping[str, Any]) -> "Figure":
    """Micro-F1 and macro-F1 over the threshold, and the threshold that validation chose.

    Args:
        report: of `trainable.evaluation.evaluation_report`; F1 in [0, 1].
    """
    curve = report["threshold_curve"]
    figure, axes = _canvas(
        f"F1 by threshold, {report['split']} set", "threshold on the probability", "F1 (%)"
    )
    axes.plot(curve["threshold"], _percent(curve["micro_f1"]), color=BLUE, lw=2.2)
    axes.plot(curve["threshold"], _percent(curve["macro_f1"]), color=VERMILION, lw=2.2, ls="--")
    chosen = report["threshold"]
    axes.axvline(chosen, color=GREY, lw=1.2, ls=":")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 100)
    for name, colour in (("micro", BLUE), ("macro", VERMILION)):
        value = 100 * report[f"{name}_f1"]
        axes.plot([chosen], [value], "o", color=colour, ms=7, mec="white", mew=1.2, zorder=3)
    figure.legend(
        axes.get_lines()[:3],
        [
            f"micro-F1: {100 * report['micro_f1']:.2f}",
            f"macro-F1: {100 * report['macro_f1']:.2f}",
            f"at threshold {chosen:.2f}, chosen on validation",
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=9,
    )
    return figure


def groups_figure(report: Mapping[str, Any], published: "PublishedRow | None" = None) -> "Figure":
    """Micro-F1 and macro-F1 of all, head, medium and tail labels, beside the paper's if given.

    Args:
        report: of `trainable.evaluation.evaluation_report`; F1 in [0, 1].
        published: the paper's values, in per cent.
    """
    figure, axes = _canvas(f"F1 by label frequency, {report['split']} set", "", "F1 (%)")
    groups = [group for group in GROUPS if group in report]  # one without labels has no scores
    parts = (report, *(report[group] for group in groups))
    series: list[tuple[str, list[float], dict[str, Any]]] = []
    for index, (name, colour) in enumerate((("micro", BLUE), ("macro", ORANGE))):
        ours = [100 * part[f"{name}_f1"] for part in parts]
        series.append((f"{name}-F1", ours, {"facecolor": colour}))
        if published is not None:
            rows = (published.total, *(getattr(published, group) for group in groups))
            style: dict[str, Any] = {
                "facecolor": "none",
                "edgecolor": colour,
                "hatch": "////",
                "lw": 1.2,
            }
            series.append((f"{name}-F1, paper", [row[index] for row in rows], style))
    width = 0.8 / len(series)
    for index, (label, heights, style) in enumerate(series):
        shift = (index - (len(series) - 1) / 2) * width
        places = [place + shift for place in range(len(heights))]
        bars = axes.bar(places, heights, width * 0.92, label=label, **style)
        axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=2, color=INK)
    axes.set_xticks(range(len(parts)), ("all labels", *groups))
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 112)
    axes.set_yticks(range(0, 101, 20))
    axes.legend(loc="upper right", ncols=len(series), frameon=False, fontsize=9)
    return figure


def learning_curves_figure(trials: Sequence["TrialRecord"], judged: str = "micro-F1") -> "Figure":
    """The validation objective of every trial by epoch; those that ended early are faded.

    Args:
        trials: of one search, at least one with an epoch; those without are left out.
        judged: the objective, in words.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = _canvas(f"Validation {judged} by epoch", "epoch", f"{judged} (%)")
    drawn = [trial for trial in trials if trial.epochs]
    ranked = sorted(drawn, key=lambda t: (-(t.best_objective or 0.0), t.number))
    for rank, trial in reversed(list(enumerate(ranked))):
        _draw_trial(axes, trial, rank, named=rank < _LEGEND_TRIALS)
    axes.set_xlim(0.7, 0.3 + max(row["epoch"] for trial in drawn for row in trial.epochs))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, labels = axes.get_legend_handles_labels()
    hidden = len(drawn) - _LEGEND_TRIALS
    title = "best first" + (f" ({hidden} more in grey)" if hidden > 0 else "")
    axes.legend(
        handles[::-1],
        labels[::-1],
        title=title,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        alignment="left",
    )
    return figure


def _draw_trial(axes: "Axes", trial: "TrialRecord", rank: int, *, named: bool) -> None:
    rows = [row for row in trial.epochs if OBJECTIVE in row]
    ended_early = trial.status not in {"completed", "running"}
    axes.plot(
        [row["epoch"] for row in rows],
        _percent([row[OBJECTIVE] for row in rows]),
        color=_TRIAL_COLOURS[rank] if named else GREY,
        lw=2.4 if rank == 0 else 1.4,
        alpha=0.45 if ended_early or not named else 1.0,
        ls="--" if ended_early else "-",
        marker="o",
        ms=4 if rank == 0 else 3,
        label=f"trial {trial.number}, {trial.status}" if named else "_",
    )


def _canvas(title: str, x_label: str, y_label: str) -> tuple["Figure", "Axes"]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=13, color=INK, pad=12)
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(y_label, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E6E6E6", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK)
    return figure, axes


def _percent(values: Sequence[float]) -> list[float]:
    return [100 * value for value in values]


def _save(figure: "Figure", path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    figure.savefig(part, format="png")
    part.replace(path)  # nobody sees half a picture
    return path
