"""Who proposes trials: Optuna's samplers by name.

    tpe         multivariate TPE, with a constant liar for trials that run side by side; learns
                from the best and the latest 1,000 others
    random      uniform draws
    gp          Gaussian process; learns from completed trials alone, so give it a patient ASHA
    hub:NAME    a sampler of OptunaHub, such as hub:samplers/auto_sampler

A sampler is made for each proposal from a seed of its own: what it proposes depends on the trials
of the study and that seed alone, so a serial search repeats itself, resumed or not. Traded away:
samplers that keep state of their own between proposals (CMA-ES in part) lose it.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from trainable.errors import UsageError, one_line, unknown_name

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

HUB: Final = "hub:"
TPE: Final = "tpe"
GP: Final = "gp"
_FEWEST_RANDOM: Final = 4
MOST_RANDOM: Final = 10
"""Optuna's own number."""


def make_sampler(
    name: str, *, seed: int, startup_trials: int, earlier: "Sequence[FrozenTrial]" = ()
) -> "BaseSampler":
    """The sampler of that name.

    Args:
        name: See the module.
        seed: Of all its draws, for one proposal.
        startup_trials: Random draws before a model takes over, where there is one.
        earlier: Trials of other searches to learn from; for TPE alone.

    Raises:
        UsageError: no such sampler, or one of OptunaHub that cannot be had.
    """
    if name.startswith(HUB):
        return _from_hub(name.removeprefix(HUB), seed)
    check_sampler_name(name)
    if name == TPE:
        return _tpe(seed, startup_trials, earlier)
    return _MAKERS[name](seed, startup_trials)


def startup_trials(trials: int, losses: int = 1) -> int:
    """How many of a search's `trials` must have ended before TPE takes over from random draws.

    A quarter: with Optuna's 10, a search of 12 trials would be a random one. Of several losses each
    begins with the paper's values, which are no draws.

    >>> startup_trials(6), startup_trials(32), startup_trials(100), startup_trials(32, losses=8)
    (4, 8, 10, 13)
    """
    drawn = trials - losses + 1
    return losses - 1 + min(max(drawn // 4, _FEWEST_RANDOM), MOST_RANDOM)


def check_sampler_name(name: str) -> None:
    """Raise UsageError unless `name` is a sampler's; one of OptunaHub is not loaded for that."""
    if name not in _MAKERS and not (name.startswith(HUB) and name != HUB):
        raise unknown_name("sampler", name, (*_MAKERS, f"{HUB}NAME"))


def _tpe(seed: int, startup_trials: int, earlier: "Sequence[FrozenTrial]" = ()) -> "BaseSampler":
    from search.tpe import RecentTPESampler

    return RecentTPESampler(
        seed=seed,
        n_startup_trials=startup_trials,
        multivariate=True,
        group=True,
        constant_liar=True,
        earlier=earlier,
    )


def _random(seed: int, startup_trials: int) -> "BaseSampler":  # noqa: ARG001
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def _gp(seed: int, startup_trials: int) -> "BaseSampler":
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, n_startup_trials=startup_trials, deterministic_objective=False)


_MAKERS: Final[Mapping[str, Callable[[int, int], Any]]] = MappingProxyType(
    {TPE: _tpe, "random": _random, GP: _gp}
)


def _from_hub(package: str, seed: int) -> "BaseSampler":
    """The one sampler that a package of OptunaHub exports: code of that registry runs here."""
    try:
        import optunahub
    except ImportError:
        raise UsageError(
            f"--sampler {HUB}{package} needs the package optunahub: pip install optunahub"
        ) from None
    try:
        module = optunahub.load_module(package)
    except Exception as error:  # noqa: BLE001  git's, GitHub's, or the loaded code's own
        raise UsageError(
            f"--sampler {HUB}{package} cannot be loaded from OptunaHub ({one_line(error)}): check "
            "the name and the network, or load it once where there is a network"
        ) from None
    kind = _sampler_class(module, package)
    seeds = {"seed": seed} if "seed" in inspect.signature(kind).parameters else {}
    sampler: BaseSampler = kind(**seeds)
    return sampler


def _sampler_class(module: Any, package: str) -> Any:
    from optuna.samplers import BaseSampler

    names = getattr(module, "__all__", None) or dir(module)
    found = {
        name: kind
        for name in names
        if isinstance(kind := getattr(module, name, None), type)
        and issubclass(kind, BaseSampler)
        and kind.__module__.startswith("optunahub_registry")
    }
    if len(found) != 1:
        raise UsageError(
            f"--sampler {HUB}{package} must export one sampler, found "
            f"{', '.join(sorted(found)) or 'none'}: choose another package"
        )
    return next(iter(found.values()))
