"""Searches that read their epochs from a table of curves: random, stock Tune, and this project's.

A table holds a finite number of configurations. What a searcher proposes is answered with the
nearest one that no trial of this search has had (distance in the unit cube of the space, logarithms
where the space has them, a choice that differs counting 1), and the searcher is not told that. So a
proposal and its answer differ, the more the more a search has used up: what a model of the space
can gain is blunted, while what a scheduler gains is not. A search ends when the table is empty.
"""

import dataclasses
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.curve_table import Curve, CurveTable
from benchmarks.promotion import PromotionAsha
from benchmarks.simulated_clock import Epochs, SimulatedClock, Spent
from spaces import Dimension, Space
from trainable.config import BEST_OBJECTIVE, OBJECTIVE, TrialConfig

WORKERS: Final = 4


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What all searches of a comparison share."""

    table: CurveTable
    space: Space
    grace_period: int
    reduction_factor: int
    target: float
    """The objective that a search is after."""
    workers: int = WORKERS

    @property
    def curves(self) -> tuple[Curve, ...]:
        """What there is to be found."""
        return self.table.of(self.space.loss)


Strategy = Callable[[Setting, int], Spent]
"""Runs a search with a seed until it reaches the target."""


class Answers:
    """The configurations of a table, each given to one trial."""

    def __init__(self, setting: Setting) -> None:
        self._dimensions = setting.space.dimensions
        self._free = list(setting.curves)
        self._epochs = setting.table.epochs

    def nearest(self, params: Mapping[str, Any]) -> Epochs | None:
        """The epochs of the free configuration that is nearest; None where none is left."""
        if not self._free:
            return None
        curve = min(self._free, key=lambda curve: distance(self._dimensions, params, curve.params))
        return self._take(curve)

    def drawn(self, rng: np.random.Generator) -> Epochs | None:
        """The epochs of any free configuration."""
        return self._take(self._free[int(rng.integers(len(self._free)))]) if self._free else None

    def _take(self, curve: Curve) -> Epochs:
        self._free.remove(curve)
        return epochs_of(curve, self._epochs)


def distance(
    dimensions: tuple[Dimension, ...], one: Mapping[str, Any], other: Mapping[str, Any]
) -> float:
    """Euclidean, in the unit cube of the space."""
    return math.hypot(*(_apart(dimension, one, other) for dimension in dimensions))


def _apart(dimension: Dimension, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """In [0, 1], along one dimension."""
    here, there = one[dimension.name], other[dimension.name]
    if dimension.low is None or dimension.high is None:
        return float(here != there)
    scale = math.log if dimension.log else float
    return abs(scale(here) - scale(there)) / (scale(dimension.high) - scale(dimension.low))


def epochs_of(curve: Curve, epochs: int) -> Epochs:
    """The results that a trial of this curve gives, as `FineTuneTrial` names them."""
    best, best_epoch = 0.0, 0
    for epoch, (score, seconds) in enumerate(zip(curve.scores, curve.epoch_s, strict=True), 1):
        if score > best or not best_epoch:
            best, best_epoch = score, epoch
        result = _result(epoch, best, best_epoch)
        yield seconds, {**result, OBJECTIVE: score, "done": epoch >= epochs}
    if len(curve.scores) < epochs:
        failed = _result(len(curve.scores) + 1, best, best_epoch)
        last_s = curve.epoch_s[-1] if curve.epoch_s else 0.0
        yield last_s, {**failed, OBJECTIVE: math.nan, "done": True, "end_status": "diverged"}


def _result(epoch: int, best: float, best_epoch: int) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "training_iteration": epoch,
        BEST_OBJECTIVE: best,
        "best/epoch": best_epoch,
        "end_status": "",
        "end_reason": "",
    }


def random_search(setting: Setting, seed: int) -> Spent:
    """Every configuration trained to its end, in random order."""
    from ray.tune.schedulers import FIFOScheduler

    rng, answers = np.random.default_rng(seed), Answers(setting)
    return _run(setting, _Silent(), FIFOScheduler(), lambda _: answers.drawn(rng))


def stock_search(setting: Setting, seed: int) -> Spent:
    """Tune's OptunaSearch and ASHA, as its documentation has them; the paper's values first."""
    import optuna
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    searcher = OptunaSearch(
        space=lambda trial: _ask(setting.space, trial),
        metric=OBJECTIVE,
        mode="max",
        points_to_evaluate=[setting.space.paper_point()],
        seed=seed,
    )
    scheduler = ASHAScheduler(
        time_attr="training_iteration",
        metric=OBJECTIVE,
        mode="max",
        max_t=setting.table.epochs,
        grace_period=setting.grace_period,
        reduction_factor=setting.reduction_factor,
    )
    return _run(setting, searcher, scheduler, Answers(setting).nearest)


def this_search(setting: Setting, seed: int) -> Spent:
    """This project's searcher and scheduler."""
    return _own(setting, seed, _asha(setting))


def promotion_search(setting: Setting, seed: int) -> Spent:
    """This project's searcher, with ASHA that pauses trials and promotes the best."""
    return _own(setting, seed, PromotionAsha(rungs(setting), setting.reduction_factor))


def sampler_alone(setting: Setting, seed: int) -> Spent:
    """This project's searcher, every trial trained to its end."""
    from ray.tune.schedulers import FIFOScheduler

    return _own(setting, seed, FIFOScheduler())


def asha_alone(setting: Setting, seed: int) -> Spent:
    """This project's scheduler, configurations in random order."""
    rng, answers = np.random.default_rng(seed), Answers(setting)
    return _run(setting, _Silent(), _asha(setting), lambda _: answers.drawn(rng))


def _own(setting: Setting, seed: int, scheduler: Any) -> Spent:
    with tempfile.TemporaryDirectory() as folder:
        searcher = own_searcher(setting, seed, Path(folder))
        try:
            return _run(setting, searcher, scheduler, Answers(setting).nearest)
        finally:
            searcher.study.close()


def _asha(setting: Setting) -> Any:
    from search.asha import Asha

    return Asha(rungs(setting), setting.reduction_factor)


def rungs(setting: Setting) -> tuple[int, ...]:
    """As `SearchSpec.rungs`."""
    return tuple(
        epoch
        for power in range(setting.table.epochs)
        if (epoch := setting.grace_period * setting.reduction_factor**power) < setting.table.epochs
    )


def own_searcher(setting: Setting, seed: int, folder: Path) -> Any:
    """The searcher of a search with as many trials as the table has, its study in `folder`."""
    from search.samplers import startup_trials
    from search.searcher import StudySearcher
    from search.study import SearchStudy

    config = TrialConfig(loss=setting.space.loss, epochs=setting.table.epochs)
    study = SearchStudy(
        folder,
        name="replay",
        space=setting.space,
        seed=seed,
        startup_trials=startup_trials(len(setting.curves)),
    )
    study.open(setting.space.paper_point())
    return StudySearcher(
        study,
        lambda params: config.replace(**params),
        epochs=setting.table.epochs,
        reduction_factor=setting.reduction_factor,
        folder=None,
    )


class _Silent:
    """A searcher that proposes nothing in particular."""

    def suggest(self, trial_id: str) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        pass

    def on_trial_complete(self, trial_id: str, result: dict[str, Any]) -> None:
        pass


def _run(
    setting: Setting,
    searcher: Any,
    scheduler: Any,
    answer: Callable[[Mapping[str, Any]], Epochs | None],
) -> Spent:
    clock = SimulatedClock(
        searcher,
        scheduler,
        lambda suggested: answer(suggested.get("config", suggested)),
        workers=setting.workers,
        trials=len(setting.curves),
    )
    return clock.run(lambda result: result[BEST_OBJECTIVE] >= setting.target)


def _ask(space: Space, trial: Any) -> None:
    space.sample(trial)
