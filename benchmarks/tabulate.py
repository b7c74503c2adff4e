"""Trains many configurations to their last epoch and keeps their curves, for `search_quality`.

What a search of the preset `cpu` would train: its configuration, its space, its data; drawn at
random, the paper's values first. One one-thread process a core; a run that was stopped goes on
where it was.
"""

import argparse
import dataclasses
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.curve_table import CURVE_METRICS, Curve, append_curve, start_table
from benchmarks.processes import Processes, as_a_trial
from benchmarks.report import Report, Row, add_data_option, options, positive, progress, run
from search.hardware import detect_hardware
from search.request import RunRequest
from search.resolve import resolve
from search.spec import SearchSpec
from spaces import Space
from trainable.config import LOSS_HYPERPARAMETERS, TrialConfig
from trainable.encoded import EncodedDataset
from trainable.errors import UsageError

_MAIN_LOSS: Final = "db"
"""The one that searches are replayed on."""
_FIRST: Final = 60
"""Configurations of it before those of the other losses: what a table must have."""


class UniformDraw:
    """A `spaces.SuggestsValues` that draws uniformly, in the logarithm where that is asked."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:  # noqa: ARG002
        """A float in [low, high]."""
        if log:
            return float(np.exp(self._rng.uniform(np.log(low), np.log(high))))
        return float(self._rng.uniform(low, high))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """An integer in [low, high]."""
        return round(self.suggest_float(name, low, high, log=log))

    def suggest_categorical(self, name: str, choices: Any) -> Any:  # noqa: ARG002
        """One of the choices."""
        return choices[int(self._rng.integers(len(choices)))]


class CurveTrainer:
    """Trains the configurations that are its own, one after the other."""

    def __init__(
        self, data: EncodedDataset, work: Sequence[tuple[int, Mapping[str, Any], TrialConfig]]
    ) -> None:
        self._data = data
        self._work = iter(work)

    def next_curve(self) -> Curve | None:
        """Train the next one; None where none is left."""
        from trainable.divergence import DivergedError
        from trainable.loop import TrainingSession

        number, params, config = next(self._work, (None, {}, None))
        if number is None or config is None:
            return None
        session = TrainingSession(config, self._data)
        rows: list[dict[str, float]] = []
        seconds: list[float] = []
        ended = "completed"
        try:
            while len(rows) < config.epochs:
                before = time.process_time()
                rows.append(session.run_epoch())
                seconds.append(time.process_time() - before)
        except DivergedError:
            ended = "diverged"
        return Curve(
            loss=config.loss,
            number=number,
            params=params,
            metrics={name: tuple(row[name] for row in rows) for name in CURVE_METRICS},
            epoch_s=tuple(seconds),
            ended=ended,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = options("tabulate", "Full learning curves of random configurations, for replays.")
    add_data_option(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="gone on with if it exists")
    parser.add_argument("--count", type=positive, default=150, metavar="N", help="of loss db")
    parser.add_argument("--others", type=positive, default=7, metavar="N", help="of each other")
    parser.add_argument("--epochs", type=positive, metavar="N", help="default: the preset's")
    parser.add_argument("--seed", type=int, default=0)
    return run(parser, tabulate, argv)


def tabulate(chosen: argparse.Namespace) -> Report:
    """Train what the file does not have yet."""
    if chosen.data is None:
        raise UsageError("curves of synthetic documents say nothing: give Reuters with --data PATH")
    data, mu = _data(chosen)
    path = Path(chosen.out)
    specs = {loss: _spec(chosen, loss, mu) for loss in LOSS_HYPERPARAMETERS}
    config = specs[_MAIN_LOSS].longest
    head = {
        **{"dataset": config.dataset, "fingerprint": data.fingerprint, "encoder": config.encoder},
        **{"tune": config.tune, "max_length": config.max_length, "epochs": config.epochs},
        **{"batch_size": config.batch_size, "mu": round(mu, 6), "seed": chosen.seed},
    }
    done = {(curve.loss, curve.number) for curve in start_table(path, head).curves}
    order = planned(tuple(specs), chosen.count, chosen.others)
    work = [
        (number, params, specs[loss].trial_config(params))
        for loss, number in order
        if (loss, number) not in done
        for params in [draw_params(specs[loss].space, chosen.seed, number)]
    ]
    cores = detect_hardware().cpus
    shares = [(data, work[core::cores]) for core in range(cores)]
    with Processes(CurveTrainer, shares, as_a_trial()) as children:
        for trained in itertools.count(1):
            curves = [curve for curve in children.call("next_curve") if curve is not None]
            if not curves:
                break
            for curve in curves:
                append_curve(path, curve)
            best = ", ".join(f"{c.loss} {c.number}: {c.best:.4f}" for c in curves)
            progress(f"round {trained}: {best}")
    return _report(path, head)


def planned(losses: Sequence[str], count: int, others: int) -> Iterator[tuple[str, int]]:
    """Loss and number of all configurations, the most needed first."""
    first = min(_FIRST, count)
    yield from ((_MAIN_LOSS, number) for number in range(first))
    rest = [loss for loss in losses if loss != _MAIN_LOSS]
    yield from ((loss, number) for number in range(others) for loss in rest)
    yield from ((_MAIN_LOSS, number) for number in range(first, count))


def draw_params(space: Space, seed: int, number: int) -> dict[str, Any]:
    """What configuration `number` samples: number 0 the paper's values, like trial 0 of a search.

    Args:
        space: Of its loss.
        seed: Of the table.
        number: Within its loss; what it draws does not depend on the others.
    """
    if number == 0:
        return space.paper_point()
    place = list(LOSS_HYPERPARAMETERS).index(space.loss)
    rng = np.random.default_rng(np.random.SeedSequence([seed, place, number]))
    return space.sample(UniformDraw(rng))


def _data(chosen: argparse.Namespace) -> tuple[EncodedDataset, float]:
    from trainable.datasets import load_dataset
    from trainable.features import with_features
    from trainable.label_stats import label_stats
    from trainable.tokenization import encode_dataset

    config = _spec(chosen, _MAIN_LOSS, None).longest
    progress("reading documents and their features")
    encoded = encode_dataset(
        load_dataset(config), encoder=config.encoder, max_length=config.max_length
    )
    data = with_features(encoded, config)
    return data, label_stats(data.train, data.num_labels).mu_estimate


def _spec(chosen: argparse.Namespace, loss: str, mu: float | None) -> SearchSpec:
    """The search that `search run --preset cpu --loss LOSS` would be."""
    hardware = dataclasses.replace(detect_hardware(), gpus=0)
    request = RunRequest(
        loss=loss, data=chosen.data, dataset="reuters", preset="cpu", epochs=chosen.epochs
    )
    return resolve(request, hardware, mu=mu)


def _report(path: Path, head: Mapping[str, Any]) -> Report:
    curves = start_table(path, head).curves
    main_curves = [curve for curve in curves if curve.loss == _MAIN_LOSS]
    diverged = sum(curve.ended == "diverged" for curve in curves)
    seconds = [second for curve in curves for second in curve.epoch_s]
    figures = {
        "curves": len(curves),
        "of_main_loss": len(main_curves),
        "diverged": diverged,
        "best": max((curve.best for curve in main_curves), default=0.0),
        "epoch_s_median": float(np.median(seconds)) if seconds else None,
    }
    rows = [
        Row(what="configurations", value=f"{len(curves)}"),
        Row(what=f"of loss {_MAIN_LOSS}", value=f"{len(main_curves)}"),
        Row(what="of all, diverged", value=f"{diverged}"),
        Row(what=f"best validation micro-F1 of {_MAIN_LOSS}", value=f"{figures['best']:.4f}"),
    ]
    return Report(figures=figures, rows=rows, notes=[f"in {path}"])


if __name__ == "__main__":
    raise SystemExit(main())
