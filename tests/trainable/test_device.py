"""Device, precision, threads, and which errors mean that memory ran out."""

import pytest
import torch

from trainable.device import (
    cpu_threads,
    is_out_of_memory,
    pick_device,
    resolve_precision,
    return_free_memory,
    seeded,
)

CPU = torch.device("cpu")


def test_device():
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_precision_that_was_asked_for(name):
    assert resolve_precision(name, CPU) == name


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"),
    [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")],
)
def test_auto_on_a_cpu(monkeypatch, avx512, amx, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert resolve_precision("auto", CPU) == expected


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_gpu_asks_for_native_support(monkeypatch, native, expected):
    def supported(including_emulation=True):
        return including_emulation or native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert resolve_precision("auto", torch.device("cuda")) == expected


def test_threads_are_restored_even_after_an_error():
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with pytest.raises(KeyError), cpu_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before
    with cpu_threads(0):
        assert torch.get_num_threads() == before


def test_seeded():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    with seeded(7, CPU):
        first = torch.rand(2)
    with seeded(7, CPU):
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_real_failed_allocation_on_the_cpu():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be ..."), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for a matmul primitive"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_which_errors_are_out_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


@pytest.mark.gpu
def test_a_real_failed_allocation_on_a_gpu():
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
    assert is_out_of_memory(caught.value)


def test_free_memory_goes_back_to_the_system():
    psutil = pytest.importorskip("psutil")
    process = psutil.Process()
    # many blocks below glibc's mmap threshold: freed, they stay in its heap
    blocks = [bytearray(100_000) for _ in range(2000)]
    full = process.memory_info().rss
    keep = blocks[-1]  # at the top of the heap: nothing below it is returned by itself
    del blocks
    return_free_memory()
    assert full - process.memory_info().rss > 100_000_000
    assert len(keep) == 100_000
