"""What this machine offers to trials: cores, memory, GPUs that torch can really use."""

import dataclasses
import os
import platform
from pathlib import Path
from typing import Final

_GIB: Final = 2**30
_GPU_DEVICES: Final = ("dev/nvidia0", "dev/nvidiactl", "proc/driver/nvidia", "dev/dxg", "dev/kfd")
"""Where a driver shows: NVIDIA, NVIDIA under WSL, AMD. None of them: no need to import torch."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """One machine, as limited by affinity and container."""

    cpus: int
    """Cores that this process may use; at least 1."""
    memory_gib: float
    """Memory that this process may use."""
    gpus: int
    """GPUs visible to torch."""
    gpu_name: str = ""
    """Of the first GPU."""
    cpu_name: str = ""


def detect_hardware(root: Path = Path("/")) -> Hardware:
    """Measure this machine; imports torch only where a GPU driver shows."""
    gpus, gpu_name = _gpus(root)
    return Hardware(
        cpus=_cpus(root),
        memory_gib=_memory_bytes(root) / _GIB,
        gpus=gpus,
        gpu_name=gpu_name,
        cpu_name=_cpu_name(root),
    )


def _cpus(root: Path) -> int:
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    quota = _text(root / "sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():  # a container's --cpus
        cores = min(cores, max(1, int(quota[0]) // int(quota[1])))
    return max(1, cores)


def _memory_bytes(root: Path) -> float:
    """The machine's memory, or the container's if that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _text(root / "sys/fs/cgroup" / name)
        if text.isdigit():
            limits.append(int(text))
    return float(min(limits))


def _gpus(root: Path) -> tuple[int, str]:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in {"", "-1"}:
        return 0, ""
    if not any((root / device).exists() for device in _GPU_DEVICES):
        return 0, ""
    import torch  # knows of masks, MIG slices, broken drivers and CPU-only builds

    if not torch.cuda.is_available():
        return 0, ""
    return torch.cuda.device_count(), torch.cuda.get_device_name(0)


def _cpu_name(root: Path) -> str:
    for line in _text(root / "proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
