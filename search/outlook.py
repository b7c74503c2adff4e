"""What can be said of a search before its first trial: dead settings, time, memory, disk.

All of it for `--dry-run`, which writes nothing but caches; in short before every run. Not measured
where it would cost more than it tells (preset `smoke`) or the trials run elsewhere (a cluster).
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Any, Final

from search.console import Terminal
from search.dead import check_alive
from search.forecast import Forecast, Reach, expected_reach, forecast
from search.hardware import Hardware
from search.preflight import disk_bytes, nearest_folder
from search.probe_cache import probe_path, read_probe, write_probe
from search.probing import OutOfMemoryError, Probed, ProbeError, probe
from search.spec import SearchSpec
from trainable.encoded import EncodedDataset
from trainable.errors import UsageError

_GIB: Final = 2**30
_SHORT_S: Final = {"head": 1.0, "all": 3.0}
"""Of timed steps before a run; importing torch costs more."""
_LONG_S: Final = 15.0
"""... and for their own sake."""
_SHORT_TIMEOUT_S: Final = 90.0
_LONG_TIMEOUT_S: Final = 600.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """Of one search on this machine."""

    spec: SearchSpec
    documents: dict[str, int]
    """By split."""
    labels: int
    reach: tuple[Reach, ...]
    probed: Probed | None
    not_measured: str
    """Why there is no measurement; "" where there is one."""
    forecast: Forecast | None
    memory_total: float
    """Bytes, of the machine or the GPU."""
    disk_most: int
    """Bytes that the search may take."""
    disk_free: int
    warnings: tuple[str, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            **values,
            "spec": self.spec.to_mapping(),
            "reach": [dataclasses.asdict(stage) for stage in self.reach],
            "probed": None if self.probed is None else dataclasses.asdict(self.probed),
            "forecast": None if self.forecast is None else dataclasses.asdict(self.forecast),
            "warnings": list(self.warnings),
        }


def look_ahead(
    spec: SearchSpec,
    data: EncodedDataset,
    hardware: Hardware,
    terminal: Terminal,
    *,
    dry_run: bool,
) -> Outlook:
    """Check that every searched setting is alive, and measure a trial.

    Args:
        spec: with mu.
        data: encoded, with features for heads.
        hardware: of this machine.
        terminal: is told what takes time.
        dry_run: measure in any case and anew; otherwise briefly, if no measurement is kept.

    Raises:
        UsageError: a searched setting changes nothing, or a trial does not fit into memory.
    """
    warnings = check_alive(spec, data)
    probed, not_measured = _measured(spec, data, hardware, terminal, dry_run=dry_run)
    ahead = None if probed is None else forecast(spec, probed, hardware)
    if ahead is not None and spec.max_concurrent > ahead.fit_by_memory:
        warnings.append(
            f"--max-concurrent {spec.max_concurrent} trials take more memory than there is: "
            f"{ahead.fit_by_memory} fit"
        )
    if not_measured and not dry_run and spec.preset != "smoke" and spec.address is None:
        warnings.append(f"time and memory of a trial are not known: {not_measured}")
    on_gpu = probed is not None and probed.memory_total
    return Outlook(
        spec=spec,
        documents={name: len(data.split(name)) for name in ("train", "val", "test")},
        labels=data.num_labels,
        reach=expected_reach(spec),
        probed=probed,
        not_measured=not_measured,
        forecast=ahead,
        memory_total=on_gpu or hardware.memory_gib * _GIB,
        disk_most=disk_bytes(spec),
        disk_free=shutil.disk_usage(nearest_folder(Path(spec.runs_dir))).free,
        warnings=tuple(warnings),
    )


def _measured(
    spec: SearchSpec,
    data: EncodedDataset,
    hardware: Hardware,
    terminal: Terminal,
    *,
    dry_run: bool,
) -> tuple[Probed | None, str]:
    """A measurement, or why there is none."""
    if spec.address is not None:
        return None, "trials run on the machines of the cluster"
    if spec.preset == "smoke" and not dry_run:
        return None, "preset smoke is over in less time"
    path = probe_path(spec, data.fingerprint, hardware)
    probed = None if dry_run else read_probe(path)
    if probed is None:
        terminal.say("measuring a few steps ...", style="dim")
        seconds = _LONG_S if dry_run else _SHORT_S[spec.config.tune]
        timeout_s = _LONG_TIMEOUT_S if dry_run else _SHORT_TIMEOUT_S
        try:
            probed = probe(spec, data, seconds=seconds, timeout_s=timeout_s)
        except OutOfMemoryError as error:
            raise _does_not_fit(spec, error, hardware) from None
        except ProbeError as error:
            return None, str(error)
        write_probe(path, probed)
    return probed, ""


def _does_not_fit(spec: SearchSpec, error: OutOfMemoryError, hardware: Hardware) -> UsageError:
    total = error.memory_total / _GIB or hardware.memory_gib
    taken = f" at {error.memory_bytes / _GIB:.1f} GiB a trial" if error.memory_bytes else ""
    lower = ["--set batch_size", "--set max_length"]
    if spec.config.tune == "head":
        lower = ["--set batch_size", "--set head_hidden"]
    if error.at_once > 1:
        lower.insert(0, "--max-concurrent")
    return UsageError(
        f"a trial must fit into memory: {error.at_once} at once ran out of {total:.1f} GiB{taken} "
        f"({error}); lower {', '.join(lower)}, or take a smaller --encoder"
    )
