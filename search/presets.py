"""Presets: what a search looks like on a machine when the user says nothing more.

`paper` is the setting of Huang et al. 2021 (appendix A.1) for a GPU. `cpu` freezes the encoder: a
trial trains a head in seconds, so a laptop's search is worth running. `cpu-full` trains the whole
encoder there, on short documents, for an evening. `smoke` ends within three minutes on two cores,
whatever the data. `auto` is `paper` where there is a GPU and elsewhere `cpu`, or `cpu-full` for
`--tune all`.
"""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from search.hardware import Hardware
from trainable.errors import unknown_name

AUTO: Final = "auto"
TRIAL_MEMORY_GIB: Final = 4.0
"""What one CPU trial of the packaged encoder may take, imports included (3.6 seen)."""
HEAD_MEMORY_GIB: Final = 1.0
"""Likewise with `tune=head` (0.6 seen)."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """The defaults of one kind of search; every one of them has an option."""

    settings: Mapping[str, Any]
    """Settings of a trial that differ from TrialConfig's defaults."""
    trials: int
    grace_period: int
    """Epochs before ASHA may stop a trial."""
    reduction_factor: int
    gpus_per_trial: float = 0.0
    time_budget_s: float | None = None


# the numbers that are tuned from measurements, all in one place
PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "paper": Preset(
            settings={"encoder": "bert-base-cased", "max_length": 512, "epochs": 40},
            trials=32,
            grace_period=4,
            reduction_factor=3,
            gpus_per_trial=1.0,
        ),
        "cpu": Preset(
            settings={"encoder": "minilm", "max_length": 512, "epochs": 30, "tune": "head"},
            trials=32,
            grace_period=3,
            reduction_factor=3,
        ),
        "cpu-full": Preset(
            settings={"encoder": "minilm", "max_length": 128, "epochs": 6},
            trials=12,
            grace_period=2,
            reduction_factor=2,
        ),
        "smoke": Preset(
            settings={
                "encoder": "minilm",
                "max_length": 64,
                "epochs": 3,
                "max_train_docs": 320,
                "max_val_docs": 256,
                "max_test_docs": 512,
            },
            trials=4,
            grace_period=1,
            reduction_factor=2,
            time_budget_s=120.0,
        ),
    }
)


def find_preset(name: str, hardware: Hardware, tune: str | None = None) -> tuple[str, Preset]:
    """The preset of that name, with `auto` resolved for this machine and what the user tunes.

    Raises:
        UsageError: no such preset.
    """
    if name == AUTO:
        name = "paper" if hardware.gpus else "cpu-full" if tune == "all" else "cpu"
    if name not in PRESETS:
        raise unknown_name("preset", name, (AUTO, *PRESETS))
    return name, PRESETS[name]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What a trial reserves, and how many run at once."""

    cpus_per_trial: float
    gpus_per_trial: float
    max_concurrent: int


def most_concurrent(hardware: Hardware, *, cpus: float, gpus: float) -> int:
    """How many trials of `cpus` cores and `gpus` GPUs fit on this machine at once (0: none)."""
    fits = math.floor(hardware.cpus / cpus + 1e-9)
    return min(fits, _gpu_slots(hardware, gpus)) if gpus else fits


def _gpu_slots(hardware: Hardware, gpus: float) -> int:
    if gpus < 1:  # a trial's fraction lies on one GPU, never on the leftovers of two
        return hardware.gpus * math.floor(1 / gpus + 1e-9)
    return math.floor(hardware.gpus / gpus + 1e-9)


def choose_resources(
    hardware: Hardware,
    *,
    gpus: float,
    cpus: float | None = None,
    max_concurrent: int | None = None,
    trials: int,
    memory_gib: float = TRIAL_MEMORY_GIB,
) -> Resources:
    """Fill what the user left open; a CPU trial takes `memory_gib`.

    On a CPU one core a trial: a second thread adds a tenth to a trial's speed (docs/LOG.md), a
    second trial doubles the work done. On a GPU the cores are shared among the trials that fit.
    """
    if cpus is None:
        slots = _gpu_slots(hardware, gpus) if gpus else hardware.cpus
        cpus = float(max(1, hardware.cpus // max(1, slots)))
    if max_concurrent is None:
        fits = most_concurrent(hardware, cpus=cpus, gpus=gpus)
        if not gpus:
            fits = min(fits, math.floor(hardware.memory_gib / memory_gib))
        max_concurrent = max(1, min(fits, trials))
    return Resources(cpus_per_trial=cpus, gpus_per_trial=gpus, max_concurrent=max_concurrent)
