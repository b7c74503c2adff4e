"""What one process of a trial takes, measured in this one; processes: tests/search/test_probing."""

import multiprocessing
import os
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import encoded_split, tiny_encoded, with_features
from trainable import probe
from trainable.config import TrialConfig
from trainable.loop import TrainingSession
from trainable.probe import (
    Probe,
    Refused,
    fair_documents,
    longest_documents,
    peak_memory,
    serve,
)

CONFIG = TrialConfig(loss="db", tune="head", mu=0.5, batch_size=8, epochs=3, num_threads=1)


def of_lengths(lengths):
    split = encoded_split([[2] * length for length in lengths], [[0]] * len(lengths))
    data = tiny_encoded()
    return type(data)(
        **{
            name: getattr(data, name)
            for name in ("name", "fingerprint", "label_names", "groups", "pad_id")
        },
        train=split,
        val=split,
        test=split,
    )


@given(st.lists(st.integers(1, 60), min_size=4, max_size=80), st.integers(2, 40), st.integers(0, 9))
def test_fair_documents_are_as_long_as_all(lengths, count, seed):
    np.random.default_rng(seed).shuffle(lengths)
    picked = fair_documents(of_lengths(lengths), count)
    for split in (picked.train, picked.val):
        assert len(split) == min(count, len(lengths))
        # each stands for a stretch of the sorted lengths, from which no length strays further
        limit = (max(lengths) - min(lengths)) / count
        assert abs(split.lengths.mean() - np.mean(lengths)) <= limit + 1e-9


@given(st.lists(st.integers(1, 60), min_size=2, max_size=50), st.integers(1, 20))
def test_the_longest_documents_are_the_longest(lengths, batch_size):
    picked = longest_documents(of_lengths(lengths), batch_size)
    assert sorted(picked.train.lengths) == sorted(lengths)[-max(2, batch_size) :]
    assert len(picked.test) == 0


def test_an_epoch_is_timed(monkeypatch):
    """Against a clock of our own: the sum of the parts is the time of a whole epoch."""
    waits = {"train": 0.002, "val": 0.001}  # seconds a document, far above what a head takes
    real_train, real_logits = TrainingSession._train_epoch, TrainingSession._logits

    def train(self):
        time.sleep(waits["train"] * len(self.data.train))
        return real_train(self)

    def logits(self, name):
        time.sleep(waits["val"] * len(self.data.split(name)))
        return real_logits(self, name)

    monkeypatch.setattr(TrainingSession, "_train_epoch", train)
    monkeypatch.setattr(TrainingSession, "_logits", logits)
    data = with_features(tiny_encoded(train=60, val=40))
    measured = Probe(CONFIG)
    assert measured.longest(longest_documents(data, 8)) <= 1 / waits["train"]
    timed = measured.fair(fair_documents(data, 32), seconds=0.3)
    assert 0.3 / waits["train"] < timed.train_docs_per_s <= 1 / waits["train"]
    assert 0.3 / waits["val"] < timed.val_docs_per_s <= 1 / waits["val"]
    assert (timed.device, timed.precision, timed.memory_total) == ("cpu", "fp32", 0)
    assert timed.memory_bytes > 50 * 2**20  # torch alone


def test_the_time_it_is_given_is_kept(monkeypatch):
    data = with_features(tiny_encoded())
    epochs = []
    real = TrainingSession.run_epoch
    monkeypatch.setattr(TrainingSession, "run_epoch", lambda self: epochs.append(1) or real(self))
    Probe(CONFIG).fair(data, seconds=0.0)
    assert len(epochs) == 1
    Probe(CONFIG).fair(data, seconds=60.0)
    assert len(epochs) == 1 + probe._MOST_PASSES


def test_what_the_first_step_sets_up_is_not_its_speed(monkeypatch):
    """Imports and the optimiser's moments come with the first step, and stay."""
    real = TrainingSession._train_epoch

    def train(self):
        if self.epoch == 0:
            time.sleep(1.0)
        return real(self)

    monkeypatch.setattr(TrainingSession, "_train_epoch", train)
    data = longest_documents(with_features(tiny_encoded()), 8)
    assert Probe(CONFIG).longest(data) > 8.0 / 0.9


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux tells")  # noqa: PTH110
def test_peak_memory_remembers_what_is_gone():
    block = np.ones(300 * 2**20, dtype=np.uint8)
    with_block = peak_memory()
    del block
    assert with_block > 300 * 2**20
    assert peak_memory() > 0.98 * with_block  # the kernel counts in batches


@pytest.fixture
def served(monkeypatch):
    """What `serve` sends, in this process."""

    def run(config=CONFIG):
        ours, theirs = multiprocessing.Pipe()
        monkeypatch.setattr(probe.signal, "signal", lambda *_: None)
        monkeypatch.setattr(probe, "_KILL_ME_FIRST", "0")
        data = with_features(tiny_encoded())
        ours.send((fair_documents(data, 16), 0.0))
        serve(theirs, config, longest_documents(data, 8))
        answers = []
        while ours.poll():
            answers.append(ours.recv())
        return answers

    return run


def test_a_process_answers_twice(served):
    rate, timed = served()
    assert rate > 0
    assert timed.train_docs_per_s > 0


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] can't allocate memory: you tried"), True),
        (RuntimeError("a bug"), False),
    ],
)
def test_memory_that_runs_out_is_an_answer(served, monkeypatch, error, lost):
    def fail(*_):
        raise error

    monkeypatch.setattr(TrainingSession, "_train_epoch", fail)
    (answer,) = served()
    assert isinstance(answer, Refused)
    assert answer.out_of_memory is lost
    assert "\n" not in answer.reason
    assert answer.memory_bytes > 0


def test_a_learning_rate_that_diverges_is_not_trained_with(served):
    assert len(served(CONFIG.replace(learning_rate=1.0))) == 2
