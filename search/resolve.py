"""From what the user said to a resolved search: the user's word, then the preset, then the paper.

Pure: `resolve` is called once before the data are read (a bad option must cost nothing), and again
with the estimate of mu.
"""

import dataclasses
import math
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from search.confirmation import DEFAULT_SEEDS, SEEDS_ALONE
from search.credentials import from_environment
from search.grace import preset_grace
from search.hardware import Hardware
from search.presets import (
    AUTO,
    HEAD_MEMORY_GIB,
    TRIAL_MEMORY_GIB,
    Preset,
    Resources,
    choose_resources,
    find_preset,
)
from search.request import RunRequest, is_own_data, said_settings
from search.samplers import TPE
from search.space_file import read_point, read_space_file
from search.spec import SearchSpec, check_name
from search.tracking.check import absolute_uri
from spaces import AUTO as AUTO_LOSS
from spaces import (
    HEAD_LEARNING_RATE,
    LOSS,
    Space,
    auto_space,
    change_space,
    fix,
    parse_losses,
    space_for,
    split_fixed,
)
from spaces.space import applies
from trainable.config import LOSS_HYPERPARAMETERS, TrialConfig
from trainable.errors import UsageError
from trainable.paths import expand

CLUSTER_CONCURRENCY: Final = 8
"""Trials at once on a cluster whose size nobody told us."""
_HEAD_SETTINGS: Final[Mapping[str, Any]] = MappingProxyType({"learning_rate": HEAD_LEARNING_RATE})
"""What `tune=head` changes in any preset."""


def resolve(request: RunRequest, hardware: Hardware, *, mu: float | None = None) -> SearchSpec:
    """The complete search that `request` asks for on this machine.

    Args:
        request: What the user said.
        hardware: What there is; ignored for the concurrency on a cluster.
        mu: The data's estimate; None before the data are read.

    Raises:
        UsageError: an unknown name, a value out of range, or two options that disagree.
    """
    said = said_settings(request)
    losses = _losses(said)
    preset_name, preset = find_preset(request.preset, hardware, said.get("tune"))
    settings = {**preset.settings, **_of_first(losses, said)}
    head = settings.get("tune") == "head"
    gpus = _first(request.gpus_per_trial, preset.gpus_per_trial)
    trials = _first(request.trials, preset.trials)
    resources = _resources(request, hardware, gpus=gpus, trials=trials, head=head)
    threads = max(1, int(resources.cpus_per_trial))
    defaults = {"num_threads": threads, **(_HEAD_SETTINGS if head else {})}
    config = _config({**defaults, **settings}, mu)
    space = _space(request, config, said, losses, mu)
    config = config.replace(**space.paper_point())
    return SearchSpec(
        name=request.name or default_name(config, time.localtime(), space.loss),
        runs_dir=str(expand(request.runs_dir, "--runs-dir").absolute()),
        preset=preset_name,
        config=config,
        space=space,
        trials=trials,
        **_budgets(request, preset),
        sampler=_first(request.sampler, TPE),
        warm_start=tuple(dict.fromkeys(request.warm_start)),
        pareto="," in (request.objective or ""),
        points=tuple(read_point(path, space) for path in request.points),
        storage=absolute_uri(from_environment("storage", request.storage)),
        grace_period=_first(request.grace_period, preset_grace(preset, config, space)),
        reduction_factor=_first(request.reduction_factor, preset.reduction_factor),
        cpus_per_trial=resources.cpus_per_trial,
        gpus_per_trial=resources.gpus_per_trial,
        max_concurrent=resources.max_concurrent,
        checkpoint_every=_checkpoint_every(request, preset_name, config, gpus),
        hang_timeout_s=request.hang_timeout,
        seed=config.seed,
        confirm=_first(request.confirm, 0),
        seeds=_first(request.seeds, DEFAULT_SEEDS),
        address=request.address,
        tracking_uri=absolute_uri(from_environment("tracking_uri", request.tracking_uri)),
    )


def name_of(request: RunRequest) -> str:
    """The name that the search gets, whatever the hardware is.

    Raises:
        UsageError: an unknown loss or dataset setting, or a name that no search can have.
    """
    said = said_settings(request)
    losses = _losses(said)
    own: dict[str, Any] = {name: said[name] for name in ("dataset", "data_path") if name in said}
    config = TrialConfig.from_mapping({"loss": losses[0], **own})
    loss = losses[0] if len(losses) == 1 else AUTO_LOSS
    name = request.name or default_name(config, time.localtime(), loss)
    check_name(name)
    return name


def default_name(config: TrialConfig, now: time.struct_time, loss: str) -> str:
    """`{loss}-{dataset}-{yyyymmdd-hhmmss}`; a file of the user's gives its own name."""
    data = config.dataset
    if data == "file" and config.data_path:
        data = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(config.data_path).stem)[:60] or data
    return f"{loss}-{data}-{time.strftime('%Y%m%d-%H%M%S', now)}"


def data_config(
    name: str,
    *,
    hardware: Hardware,
    data: str | None = None,
    encoder: str | None = None,
    split_seed: int | None = None,
    max_train_docs: int | None = None,
    settings: tuple[str, ...] = (),
) -> TrialConfig:
    """The settings that decide what a dataset is, for `python -m search data NAME`.

    A file of the user's may stand in for the name. Word pieces are counted up to 512, with the
    encoder that `run` would choose on this machine.

    Raises:
        UsageError: an unknown or nonsensical setting.
    """
    if data is None and is_own_data(name):
        name, data = "file", name
    request = RunRequest(
        dataset=name,
        data=data,
        encoder=encoder,
        split_seed=split_seed,
        max_train_docs=max_train_docs,
        settings=settings,
    )
    _, preset = find_preset(AUTO, hardware)
    defaults = {"encoder": preset.settings["encoder"], "loss": "bce"}
    return TrialConfig.from_mapping({**defaults, **said_settings(request)})


def _config(values: Mapping[str, Any], mu: float | None) -> TrialConfig:
    config = TrialConfig.from_mapping(values)
    uses_mu = "mu" in LOSS_HYPERPARAMETERS[config.loss]
    return config.replace(mu=mu) if uses_mu and config.mu is None else config


def _losses(said: Mapping[str, Any]) -> tuple[str, ...]:
    """The losses to search, the first of them for trial 0."""
    return parse_losses(str(said.get("loss", TrialConfig().loss)))


def _of_first(losses: tuple[str, ...], said: Mapping[str, Any]) -> dict[str, Any]:
    """What the user fixed, for trials with the first loss; its own checks are TrialConfig's."""
    if len(losses) == 1:
        return dict(said) | {"loss": losses[0]}
    fixed, rest = split_fixed(losses, said)
    return {
        **rest,
        **{name: value for name, value in fixed.items() if applies(name, losses[0])},
        "loss": losses[0],
    }


def _start_space(
    config: TrialConfig, said: Mapping[str, Any], losses: tuple[str, ...], mu: float | None
) -> Space:
    """What is searched where no file changes it."""
    if len(losses) == 1:
        return space_for(config.loss, mu=mu if config.mu is None else config.mu, tune=config.tune)
    fixed, _ = split_fixed(losses, said)
    known = {name: value for name, value in fixed.items() if value is not None}
    space = auto_space(losses, mu=known.get("mu", mu), tune=config.tune)
    return dataclasses.replace(space, fixed=known)


def _space(
    request: RunRequest,
    config: TrialConfig,
    said: Mapping[str, Any],
    losses: tuple[str, ...],
    mu: float | None,
) -> Space:
    space = _start_space(config, said, losses, mu)
    changes = read_space_file(request.space) if request.space else {}
    for name in changes:
        if name in said:
            raise UsageError(
                f"'{name}' is fixed by an option and searched by --space {request.space}: "
                "drop one of them"
            )
    if changes:
        space = change_space(space, changes)
    space = fix(space, [name for name in space.names if name in said])
    _check_space(space, config)
    return space


def _check_space(space: Space, config: TrialConfig) -> None:
    """Both ends of every range must be settings that a trial of this search accepts."""
    for loss in space.losses:
        start = space.complete(config, {LOSS: loss})
        for dimension in space.of_loss(loss).dimensions:
            for end in dimension.choices or (dimension.low, dimension.high):
                start.replace(**{dimension.name: end})


def _budgets(request: RunRequest, preset: Preset) -> dict[str, Any]:
    return {
        "time_budget_s": _first(request.time_budget, preset.time_budget_s),
        "compute_budget_s": request.compute_budget,
        "disk_budget_gib": request.disk_budget,
        "patience": _first(request.patience, 0),
    }


def _resources(
    request: RunRequest, hardware: Hardware, *, gpus: float, trials: int, head: bool
) -> Resources:
    _check_resources(request, trials)
    return choose_resources(
        hardware,
        gpus=gpus,
        cpus=_cluster_cpus(request),
        max_concurrent=_cluster_concurrency(request, trials),
        trials=trials,
        memory_gib=HEAD_MEMORY_GIB if head else TRIAL_MEMORY_GIB,
    )


def _check_resources(request: RunRequest, trials: int) -> None:
    """What `choose_resources` divides by, and seeds for nothing; SearchSpec checks the rest."""
    cpus, gpus = request.cpus_per_trial, request.gpus_per_trial
    if cpus is not None and not (math.isfinite(cpus) and cpus > 0):
        raise UsageError(f"cpus-per-trial must be above 0, got {cpus:g}")
    if gpus is not None and not (math.isfinite(gpus) and gpus >= 0):
        raise UsageError(f"gpus-per-trial must be at least 0, got {gpus:g}")
    if trials < 1:
        raise UsageError(f"trials must be at least 1, got {trials}")
    if request.seeds is not None and not request.confirm:
        raise UsageError(SEEDS_ALONE)


def _cluster_cpus(request: RunRequest) -> float | None:
    if request.cpus_per_trial is None and request.address is not None:
        return 1.0
    return request.cpus_per_trial


def _cluster_concurrency(request: RunRequest, trials: int) -> int | None:
    if request.max_concurrent is None and request.address is not None:
        return min(trials, CLUSTER_CONCURRENCY)
    return request.max_concurrent


def _checkpoint_every(request: RunRequest, preset: str, config: TrialConfig, gpus: float) -> int:
    """Each epoch where a CPU trains a whole encoder: 0.3 % of minutes; elsewhere, not by default.

    A head, or a GPU, trains an epoch in no more time than a checkpoint takes, and `smoke` is over
    before anybody would miss one.
    """
    if request.checkpoint_every is not None:
        return request.checkpoint_every
    return int(config.tune == "all" and not gpus and preset != "smoke")


def _first(said: Any, otherwise: Any) -> Any:
    return otherwise if said is None else said
