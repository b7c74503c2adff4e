"""Epochs that a search needs to find a configuration nearly as good as the best.

Three kinds: random full training, stock Tune (OptunaSearch and ASHA), and this project's search.
Replays `tables/reuters-head.jsonl`, real learning curves that `benchmarks.tabulate` trained, on a
simulated clock. Needs neither data nor a quiet machine: its seconds are the table's.
"""

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.curve_replay import (
    WORKERS,
    Setting,
    Strategy,
    asha_alone,
    promotion_search,
    random_search,
    rungs,
    sampler_alone,
    stock_search,
    this_search,
)
from benchmarks.curve_table import CurveTable, read_table
from benchmarks.early_scores import early_scores
from benchmarks.report import Report, Row, options, positive, progress, run, verdict
from benchmarks.simulated_clock import Spent
from search.presets import PRESETS
from spaces import space_for
from trainable.errors import UsageError

TABLE: Final = Path(__file__).parent / "tables" / "reuters-head.jsonl"
NEAR: Final = 0.002
"""Of the table's best micro-F1: a search is there."""
LOSS: Final = "db"
_GOAL: Final = 1 / 5
_RANDOM_SEEDS: Final = 50
"""Of random training for one of the others: it costs next to nothing, and spreads the most."""
_EPOCHS: Final = (1, 2, 3, 4, 5, 6, 9, 12, 18, 27)
STRATEGIES: Final[Mapping[str, Strategy]] = {
    "random": random_search,
    "stock": stock_search,
    "this": this_search,
    "this, sampler alone": sampler_alone,
    "this, ASHA alone": asha_alone,
    "this, ASHA that pauses": promotion_search,
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Quartiles:
    """Of what the seeds took; infinite where too few reached the target."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Quartiles":
        """Of at least one value: nearest ranks, so that infinite ones do no harm."""
        ranked = sorted(values)
        last = len(ranked) - 1
        return cls(
            low=ranked[last // 4],
            median=(ranked[last // 2] + ranked[(last + 1) // 2]) / 2,
            high=ranked[last - last // 4],
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = options("search_quality", "Epochs to nearly the best configuration, on real curves.")
    parser.add_argument("--table", type=Path, default=TABLE, metavar="FILE")
    parser.add_argument("--seeds", type=positive, default=20, metavar="N")
    parser.add_argument("--workers", type=positive, default=WORKERS, metavar="N")
    parser.add_argument("--grace", type=positive, metavar="N", help="epochs; the preset's")
    parser.add_argument("--reduction-factor", type=positive, metavar="N", help="the preset's")
    return run(parser, measure, argv)


def measure(chosen: argparse.Namespace) -> Report:
    """Replay."""
    table = read_table(chosen.table)
    setting = setting_of(table, chosen)
    spent = {}
    for name, strategy in STRATEGIES.items():
        seeds = chosen.seeds * (_RANDOM_SEEDS if name == "random" else 1)
        progress(f"{name}, {seeds} seeds")
        spent[name] = [strategy(setting, seed) for seed in range(seeds)]
    figures = {
        "curves": len(setting.curves),
        "best": max(curve.best for curve in setting.curves),
        "target": setting.target,
        "near_enough": sum(curve.best >= setting.target for curve in setting.curves),
        "workers": setting.workers,
        "rungs": list(rungs(setting)),
        "reduction_factor": setting.reduction_factor,
        "strategies": {name: summary(runs) for name, runs in spent.items()},
        "early_scores": {loss: _early(table, loss) for loss in table.losses},
    }
    return Report(
        figures=figures,
        rows=[*_search_rows(figures), *_early_rows(figures)],
        notes=_notes(figures, chosen.seeds),
    )


def setting_of(table: CurveTable, chosen: argparse.Namespace) -> Setting:
    """The comparison that the options ask for.

    Raises:
        UsageError: a table without curves of the loss that is searched.
    """
    curves = table.of(LOSS)
    if not curves:
        raise UsageError(f"the table has no curves of loss {LOSS}: give another with --table FILE")
    preset = PRESETS["cpu"]
    return Setting(
        table=table,
        space=space_for(LOSS, mu=table.head["mu"], tune=table.head["tune"]),
        grace_period=chosen.grace or preset.grace_period,
        reduction_factor=chosen.reduction_factor or preset.reduction_factor,
        target=max(curve.best for curve in curves) - NEAR,
        workers=chosen.workers,
    )


def summary(runs: Sequence[Spent]) -> dict[str, Any]:
    """What the seeds took to reach the target; a seed that did not counts as infinite."""
    epochs = Quartiles.of([spent.epochs if spent.reached else float("inf") for spent in runs])
    seconds = Quartiles.of([spent.seconds if spent.reached else float("inf") for spent in runs])
    return {
        "reached": sum(spent.reached for spent in runs),
        "epochs": dataclasses.asdict(epochs),
        "seconds": dataclasses.asdict(seconds),
        "epochs_of_each": [spent.epochs for spent in runs],
        "reached_by_each": [spent.reached for spent in runs],
    }


def _early(table: CurveTable, loss: str) -> list[dict[str, Any]]:
    epochs = [epoch for epoch in _EPOCHS if epoch < table.epochs]
    return [dataclasses.asdict(score) for score in early_scores(table.of(loss), epochs)]


def _search_rows(figures: Mapping[str, Any]) -> list[Row]:
    found = figures["strategies"]
    median = {name: found[name]["epochs"]["median"] for name in found}
    to_random, to_stock = median["this"] / median["random"], median["this"] / median["stock"]
    no_worse = all(
        found["this"][what][part] <= found["stock"][what][part]
        for what in ("epochs", "seconds")
        for part in ("low", "median", "high")
    )
    return [
        *(
            Row(what=f"{name}: epochs, median (quartiles)", value=_text(found[name]["epochs"]))
            for name in found
        ),
        *(
            Row(what=f"{name}: seconds, median (quartiles)", value=_text(found[name]["seconds"]))
            for name in found
        ),
        *(
            Row(what=f"{name}: seeds that got there", value=_reached(found[name]))
            for name in found
            if found[name]["reached"] < len(found[name]["epochs_of_each"])
        ),
        Row(
            what="epochs, this / random",
            value=f"{to_random:.3f}",
            goal=verdict(f"at most {_GOAL:.2f}", met=to_random <= _GOAL),
        ),
        Row(
            what="epochs, this / stock",
            value=f"{to_stock:.3f}",
            goal=verdict("never worse: median and quartiles", met=no_worse),
        ),
    ]


def _early_rows(figures: Mapping[str, Any]) -> list[Row]:
    return [
        Row(
            what=f"{loss}: rank correlation, after epoch "
            + ", ".join(str(score["epoch"]) for score in scores),
            value=" ".join(f"{score['spearman']:.2f}" for score in scores),
        )
        for loss, scores in figures["early_scores"].items()
        if not all(math.isnan(score["spearman"]) for score in scores)
    ]


def _notes(figures: Mapping[str, Any], seeds: int) -> list[str]:
    return [
        f"{figures['curves']} configurations of {LOSS}; the best has {figures['best']:.4f}, and "
        f"{figures['near_enough']} come within {NEAR} of it",
        f"{seeds} seeds (random: {seeds * _RANDOM_SEEDS}), {figures['workers']} trials at once, "
        f"rungs {figures['rungs']}, reduction factor {figures['reduction_factor']}",
        "a proposal is answered with the nearest configuration that is still free; see "
        "benchmarks/curve_replay.py for what that means",
    ]


def _reached(found: Mapping[str, Any]) -> str:
    return f"{found['reached']} of {len(found['epochs_of_each'])}"


def _text(quartiles: Mapping[str, float]) -> str:
    return f"{quartiles['median']:.0f} ({quartiles['low']:.0f} to {quartiles['high']:.0f})"


if __name__ == "__main__":
    raise SystemExit(main())
