"""What an epoch took of the machine: metrics `system/...`, by the units in their names.

Of the trial's own process, from the standard library: a GPU machine that retrains needs no psutil.
What other processes take of the same cores or GPU is not seen. Linux.
"""

import os
import resource
import time
from pathlib import Path
from typing import Final

import torch

_MIB: Final = 2**20


class EpochUsage:
    """Measures from where it is made."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), _cpu_seconds()
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()

    def take(self) -> dict[str, float]:
        """The metrics since then.

        `system/cpu_percent`: of one core, so 200 is two busy cores. `system/memory_mib`: resident
        now. `system/gpu_memory_mib`, with a GPU alone: the most that tensors held at once.
        """
        wall_s = max(time.perf_counter() - self._wall_s, 1e-6)
        values = {
            "system/cpu_percent": 100 * (_cpu_seconds() - self._cpu_s) / wall_s,
            "system/memory_mib": resident_bytes() / _MIB,
        }
        if torch.cuda.is_initialized():
            values["system/gpu_memory_mib"] = torch.cuda.max_memory_allocated() / _MIB
        return values


def resident_bytes() -> int:
    """Memory of this process that lies in RAM."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
