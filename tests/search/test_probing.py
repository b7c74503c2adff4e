"""Trials are measured side by side in real processes, and one that dies is an answer."""

import multiprocessing
import time

import pytest

from search.probing import OutOfMemoryError, ProbeError, heaviest, probe
from spaces import change_space, space_for
from tests.small_search import small_spec
from tests.tiny import tiny_encoded, with_features
from trainable.config import TrialConfig


class Code:
    """A process's life, as text: children cannot import this file."""

    def __init__(self, text):
        self.text = text

    def __reduce__(self):
        return eval, (f"lambda pipe, config, data: {self.text}",)


def head_spec(**changes):
    config = TrialConfig(loss="db", tune="head", mu=0.5, batch_size=8, num_threads=1)
    return small_spec("/nowhere", config=config, **changes)


DATA = with_features(tiny_encoded())
KILLED = "the system killed the process, as it does where memory runs out"


@pytest.mark.timeout(180)  # two processes import torch, on a machine that may be busy
def test_two_at_once_are_measured():
    probed = probe(head_spec(max_concurrent=2), DATA, seconds=0.2, timeout_s=170.0)
    assert (probed.at_once, probed.device, probed.precision) == (2, "cpu", "fp32")
    assert 0 < probed.epoch_s < 30
    assert probed.memory_bytes > 100 * 2**20
    assert multiprocessing.active_children() == []


def test_a_gpu_is_measured_by_one():
    probed = probe(
        head_spec(max_concurrent=2, gpus_per_trial=0.5),
        DATA,
        seconds=0.2,
        timeout_s=55.0,
        target=Code(
            "(pipe.send(1.0), pipe.recv(), pipe.send(__import__('trainable.probe').probe.Timed("
            "train_docs_per_s=10.0, val_docs_per_s=5.0, memory_bytes=1, memory_total=3, "
            "device='cuda', precision='bf16')))"
        ),
    )
    assert (probed.at_once, probed.device, probed.memory_total) == (1, "cuda", 3)
    assert probed.epoch_s == pytest.approx(60 / 10 + 20 / 5)


@pytest.mark.parametrize(
    ("life", "timeout_s", "error", "message"),
    [
        ("__import__('os').kill(__import__('os').getpid(), 9)", 55.0, OutOfMemoryError, KILLED),
        ("__import__('os')._exit(3)", 55.0, ProbeError, "a process ended with exit code 3"),
        ("__import__('time').sleep(60)", 2.0, ProbeError, "measuring a few steps took too long"),
    ],
)
def test_a_process_that_does_not_answer(life, timeout_s, error, message):
    started = time.monotonic()
    with pytest.raises(error, match=message):
        probe(head_spec(), DATA, seconds=0.2, timeout_s=timeout_s, target=Code(life))
    assert time.monotonic() - started < 50
    assert multiprocessing.active_children() == []


SERVE_IN = (
    "(lambda r, serve, size: (r.setrlimit(r.RLIMIT_AS, (size, size)), serve(pipe, config, data)))("
    "__import__('resource'), __import__('trainable.probe').probe.serve, "
    "4096 * int(open('/proc/self/statm').read().split()[0]) + {room})"
)
"""The life of a process that may map so many bytes more once it has imported torch."""


@pytest.mark.timeout(180)
def test_memory_really_runs_out():
    spec = head_spec(max_concurrent=1)
    wide = spec.replace(config=spec.config.replace(head_hidden=65_536))  # 0.5 GiB
    data = with_features(tiny_encoded(), 2048)
    life = Code(SERVE_IN.format(room=64 * 2**20))
    with pytest.raises(OutOfMemoryError) as caught:
        probe(wide, data, seconds=0.2, timeout_s=170.0, target=life)
    assert caught.value.at_once == 1
    assert caught.value.memory_bytes > 100 * 2**20


def test_the_heaviest_trial_is_measured():
    changes = {
        "batch_size": [8, 64, 32],
        "epochs": {"low": 2, "high": 9},
        "max_length": {"low": 16, "high": 128},
        "dropout": {"low": 0.0, "high": 0.5},
    }
    space = change_space(space_for("db", mu=0.5), changes)
    config = heaviest(small_spec("/nowhere", space=space))
    assert (config.batch_size, config.epochs, config.max_length) == (64, 9, 128)
    assert config.dropout == 0.1
