"""How long a search will take, and what fits: from what was measured of one trial. Pure."""

import dataclasses
import math
from collections.abc import Sequence

from search.hardware import Hardware
from search.presets import most_concurrent
from search.probing import Probed
from search.spec import SearchSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """How far trials are expected to come."""

    epoch: int
    """A rung, or the last epoch."""
    trials: float
    """So many reach it; ASHA lets the fewer of them pass."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Of a whole search."""

    expected_s: float
    """Seconds of its trials, if ASHA stops as many as it does of trials in random order."""
    longest_s: float
    """If it stops none."""
    budget_s: float | None
    """Seconds after which a budget is expected to end it, if that comes first; the other numbers
    are of a search without one."""
    expected_epochs: float
    longest_epochs: int
    fit_by_cores: int
    """Trials at once, by cores and GPUs."""
    fit_by_memory: int
    """... and by memory as it was measured."""


def expected_reach(spec: SearchSpec) -> tuple[Reach, ...]:
    """How many trials reach each rung and the last epoch, on average over orders of arrival.

    A trial goes on from a rung if it is among the best 1/reduction_factor of those that have come
    there, itself included, and at least one is; all that differs is the order in which good and bad
    ones come. A sampler that learns sends better ones later, of which more go on.
    """
    reach = []
    trials = float(spec.trials)
    for epoch in spec.rungs:
        reach.append(Reach(epoch=epoch, trials=trials))
        trials = _passing(trials, spec.reduction_factor)
    return (*reach, Reach(epoch=spec.longest.epochs, trials=trials))


def expected_epochs(reach: Sequence[Reach]) -> float:
    """Of all trials together."""
    before = 0
    total = 0.0
    for stage in reach:
        total += stage.trials * (stage.epoch - before)
        before = stage.epoch
    return total


def forecast(spec: SearchSpec, probed: Probed, hardware: Hardware) -> Forecast:
    """What a search will take on this machine."""
    epochs = expected_epochs(expected_reach(spec))
    longest = spec.trials * spec.longest.epochs
    lanes = min(spec.max_concurrent, spec.trials)
    # the last trial to come may be a long one
    one = spec.longest.epochs * probed.epoch_s
    expected = max(one, epochs * probed.epoch_s / lanes)
    return Forecast(
        expected_s=expected,
        longest_s=math.ceil(spec.trials / lanes) * one,
        budget_s=_budget(spec, lanes, expected),
        expected_epochs=epochs,
        longest_epochs=longest,
        fit_by_cores=most_concurrent(hardware, cpus=spec.cpus_per_trial, gpus=spec.gpus_per_trial),
        fit_by_memory=_fit_by_memory(probed, hardware),
    )


def _budget(spec: SearchSpec, lanes: int, expected_s: float) -> float | None:
    budgets = []
    if spec.time_budget_s is not None:
        budgets.append(spec.time_budget_s)
    if spec.compute_budget_s is not None:  # of all trials together
        budgets.append(spec.compute_budget_s / lanes)
    first = min(budgets, default=math.inf)
    return first if first < expected_s else None


def _passing(trials: float, reduction_factor: int) -> float:
    """How many of `trials` that come to a rung go on."""
    whole = math.floor(trials)
    passing = sum(_chance(n, reduction_factor) for n in range(1, whole + 1))
    return passing + (trials - whole) * _chance(whole + 1, reduction_factor)


def _chance(n: int, reduction_factor: int) -> float:
    """That the n-th to come is among the best."""
    return max(1, n // reduction_factor) / n


def _fit_by_memory(probed: Probed, hardware: Hardware) -> int:
    if probed.memory_total:
        each = math.floor(probed.memory_total / max(1, probed.memory_bytes))
        return each * max(1, hardware.gpus)
    return math.floor(hardware.memory_gib * 2**30 / max(1, probed.memory_bytes))
