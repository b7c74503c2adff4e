"""Presets and resources on machines that we do not have."""

import pytest

from search import hardware as hardware_module
from search.hardware import Hardware, detect_hardware
from search.presets import PRESETS, choose_resources, find_preset, most_concurrent
from search.request import RunRequest
from search.resolve import resolve
from trainable.errors import UsageError


def machine(cpus: int = 2, gpus: int = 0, memory_gib: float = 16.0) -> Hardware:
    return Hardware(cpus=cpus, memory_gib=memory_gib, gpus=gpus)


def test_auto_is_paper_on_a_gpu_and_cpu_elsewhere():
    assert find_preset("auto", machine(gpus=1))[0] == "paper"
    assert find_preset("auto", machine())[0] == "cpu"
    assert find_preset("auto", machine(), "head")[0] == "cpu"
    assert find_preset("auto", machine(), "all")[0] == "cpu-full"


def test_a_head_needs_less_memory():
    where = machine(cpus=16, memory_gib=8)
    trials = [resolve(RunRequest(tune=tune), where, mu=0.9) for tune in ("head", "all")]
    assert [spec.max_concurrent for spec in trials] == [8, 2]


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(UsageError, match="unknown preset 'papr': did you mean 'paper'"):
        find_preset("papr", machine())


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_search_that_asha_can_stop(name):
    spec = resolve(RunRequest(preset=name), machine(cpus=8, gpus=1), mu=0.9)
    assert spec.rungs
    assert spec.trials > spec.reduction_factor


def test_the_papers_setting():
    """Huang et al. 2021, appendix A.1."""
    config = resolve(RunRequest(preset="paper"), machine(cpus=16, gpus=1), mu=0.9).config
    assert (config.encoder, config.max_length, config.epochs) == ("bert-base-cased", 512, 40)
    assert (config.batch_size, config.learning_rate) == (32, 1e-4)
    assert (config.dropout, config.attention_dropout) == (0.1, 0.1)


@pytest.mark.parametrize(
    ("where", "gpus", "expected"),
    [
        (machine(cpus=2), 0.0, (1.0, 2)),
        (machine(cpus=16, memory_gib=64), 0.0, (1.0, 12)),  # no more than there are trials
        (machine(cpus=16, memory_gib=8), 0.0, (1.0, 2)),  # memory for two
        (machine(cpus=1, memory_gib=1), 0.0, (1.0, 1)),
        (machine(cpus=16, gpus=1), 1.0, (16.0, 1)),
        (machine(cpus=16, gpus=2), 0.5, (4.0, 4)),
        (machine(cpus=16, gpus=8), 2.0, (4.0, 4)),
        (machine(cpus=2, gpus=8), 1.0, (1.0, 2)),
        (machine(cpus=16, gpus=1), 0.3, (5.0, 3)),
        (machine(cpus=4), 1.0, (4.0, 1)),  # the preflight refuses it
    ],
)
def test_resources(where, gpus, expected):
    chosen = choose_resources(where, gpus=gpus, trials=12)
    assert (chosen.cpus_per_trial, chosen.max_concurrent) == expected


def test_what_the_user_says_stays():
    chosen = choose_resources(machine(), gpus=0.0, cpus=0.5, max_concurrent=7, trials=12)
    assert (chosen.cpus_per_trial, chosen.max_concurrent) == (0.5, 7)


@pytest.mark.parametrize(
    ("cpus", "gpus", "most"),
    [(1, 0, 8), (3, 0, 2), (0.1, 0, 80), (1, 0.4, 4), (1, 2, 1), (9, 0, 0)],
)
def test_most_concurrent(cpus, gpus, most):
    assert most_concurrent(machine(cpus=8, gpus=2), cpus=cpus, gpus=gpus) == most


def test_hidden_gpus_are_no_gpus(monkeypatch, tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert detect_hardware(tmp_path).gpus == 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert detect_hardware(tmp_path).gpus == 0


def test_torch_has_the_last_word_on_gpus(monkeypatch, tmp_path):
    import torch

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "dev").mkdir()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A GPU")
    assert detect_hardware(tmp_path).gpus == 0  # no driver: torch is not even asked
    (tmp_path / "dev/nvidia0").touch()
    found = detect_hardware(tmp_path)
    assert (found.gpus, found.gpu_name) == (4, "A GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # built for CPU
    assert detect_hardware(tmp_path).gpus == 0


def test_a_container_limits_cores_and_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(hardware_module.os, "sched_getaffinity", lambda _: set(range(64)))
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("350000 100000\n")
    (group / "memory.max").write_text(f"{3 * 2**29}\n")
    found = detect_hardware(tmp_path)
    assert (found.cpus, found.memory_gib) == (3, 1.5)
    (group / "cpu.max").write_text("max 100000\n")
    assert detect_hardware(tmp_path).cpus == 64
