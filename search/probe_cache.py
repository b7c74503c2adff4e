"""Measurements of trials, kept between searches: a probe costs seconds, and repeats itself.

probes/KEY.json   KEY names what time and memory depend on: settings, data, machine, versions
"""

import contextlib
import dataclasses
import hashlib
import json
import platform
import time
from pathlib import Path
from typing import Any, Final

from search.files import read_json, write_json
from search.hardware import Hardware
from search.probing import Probed, heaviest
from search.provenance import package_versions
from search.spec import SearchSpec
from trainable.config import PAPER_LOSS_VALUES
from trainable.datasets.cache import default_cache_dir
from trainable.errors import UsageError

_FORMAT: Final = 1
"""Raise it when the meaning of the values changes."""
_KEPT_S: Final = 7 * 24 * 3600.0
"""A machine changes in ways that no key tells."""
_COSTS_NOTHING: Final = (
    *(*PAPER_LOSS_VALUES, "mu", "learning_rate", "weight_decay", "warmup_fraction", "lr_schedule"),
    *("seed", "split_seed", "data_path", "epochs", "objective"),
)
"""Settings that neither time nor memory of an epoch depends on."""


def probe_path(spec: SearchSpec, fingerprint: str, hardware: Hardware) -> Path:
    """Where the measurement of a search's heaviest trial lies, if there is one.

    Args:
        spec: with mu.
        fingerprint: of the encoded data.
        hardware: of this machine.
    """
    settings = heaviest(spec).to_mapping()
    parts = [
        _FORMAT,
        {name: value for name, value in settings.items() if name not in _COSTS_NOTHING},
        fingerprint,
        [spec.max_concurrent, spec.cpus_per_trial, spec.gpus_per_trial],
        dataclasses.asdict(hardware),
        [platform.python_version(), package_versions()],
    ]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return default_cache_dir() / "probes" / f"{digest}.json"


def read_probe(path: Path) -> Probed | None:
    """A measurement of the last seven days; None where there is none that can be read."""
    try:
        values: dict[str, Any] | None = read_json(path)
        probed = None if values is None else Probed.from_mapping(values)
    except (UsageError, TypeError):
        return None
    fresh = probed is not None and 0 <= time.time() - probed.measured_at < _KEPT_S
    return probed if fresh else None


def write_probe(path: Path, probed: Probed) -> None:
    """Keep a measurement; a folder that cannot be written costs the next search seconds."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, dataclasses.asdict(probed))
