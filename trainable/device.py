"""Where a trial computes: device, precision, CPU threads, and how running out of memory looks."""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any, Final

import numpy.typing as npt
import torch
from torch import Tensor

from trainable.allocator import is_active
from trainable.errors import UserError

_OUT_OF_MEMORY: Final = ("can't allocate memory", "CUDA error: out of memory")
_ONEDNN_OUT_OF_MEMORY: Final = ("could not create a primitive", "could not create a memory object")
"""All that oneDNN says where an allocation fails; what it cannot compute fails earlier."""


def pick_device() -> torch.device:
    """The first CUDA device that this process may see, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_precision(name: str, device: torch.device) -> str:
    """`bf16` or `fp32` for the setting `precision`; `auto` is bf16 where it is native.

    Emulated bfloat16 is slower than float32, so `auto` asks for instructions (AVX512-BF16 or AMX
    on CPUs, Ampere or later on GPUs), not for support.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


def upload(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """A small array on `device`; the host does not wait for the copy."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


@contextlib.contextmanager
def cpu_threads(num_threads: int) -> Iterator[None]:
    """Compute with `num_threads` CPU threads inside, as before outside; 0 changes nothing."""
    before = torch.get_num_threads()
    if num_threads:
        torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        if num_threads:
            torch.set_num_threads(before)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators inside; outside their states are as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is a failed allocation, on a GPU or a CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # torch's CPU allocator raises a plain RuntimeError, that of pinned memory what CUDA says
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).strip()
    return text in _ONEDNN_OUT_OF_MEMORY or any(known in text for known in _OUT_OF_MEMORY)


@contextlib.contextmanager
def memory_errors(advice: str) -> Iterator[None]:
    """A failed allocation inside becomes one line that ends with `advice`.

    Raises:
        UserError: memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"memory ran out: {advice}") from None


def return_free_memory() -> None:
    """Give freed memory back to the system, where glibc's allocator is in use; else nothing.

    Batches of ever other sizes fragment its heap: a trial of MiniLM grew to 4.2 GiB in three epochs
    of 2,000 documents; in a smaller one 1.3 of 2.6 GiB were free. Costs 0.07 s.
    """
    if is_active():
        return
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
