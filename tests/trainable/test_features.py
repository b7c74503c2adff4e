"""Features of a frozen encoder: equal to transformers' own, cached, and never mixed up."""

import dataclasses
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel

from tests.tiny import encoded_split, tiny_encoded, tiny_encoder
from trainable import extractor as extractor_module
from trainable import features as features_module
from trainable.config import TrialConfig
from trainable.datasets.records import SPLITS
from trainable.encoders import resolve_encoder
from trainable.errors import UsageError, UserError
from trainable.extractor import Extractor
from trainable.features import with_features
from trainable.model import PristineWeights

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def config(encoder):
    return TrialConfig(
        dataset="tiny", encoder=str(encoder), max_length=32, tune="head", precision="fp32"
    )


def compute(data, config, folder, **options):
    return with_features(data, config, device=CPU, cache_dir=folder, **options)


def test_they_are_cls_and_mean_of_transformers_own_hidden_states(tmp_path, encoder, config):
    lengths = [2, 3, 64, 17, 17]  # the first: an empty text
    tokens = [np.random.default_rng(n).integers(5, 45, n).tolist() for n in lengths]
    data = tiny_encoded()
    data = dataclasses.replace(data, val=encoded_split(tokens, [(0,)] * len(tokens)))
    found = compute(data, config.replace(max_length=64), tmp_path).val.features
    bert = BertModel.from_pretrained(encoder).eval()
    for own, ids in zip(found, tokens, strict=True):
        with torch.no_grad():
            hidden_TH = bert(input_ids=torch.tensor([ids])).last_hidden_state[0]
        expected = torch.cat([hidden_TH[0], hidden_TH.mean(0)])
        np.testing.assert_allclose(own, expected.numpy(), atol=1e-5)


def test_every_document_of_every_split_has_its_own(tmp_path, config):
    data = compute(tiny_encoded(), config, tmp_path)
    for name in SPLITS:
        split = data.split(name)
        assert split.features.shape == (len(split), 64)
        assert split.features.dtype == np.float32
        assert np.array_equal(split.token_ids, tiny_encoded().split(name).token_ids)


def test_computed_once(tmp_path, config, monkeypatch):
    first = compute(tiny_encoded(), config, tmp_path)
    monkeypatch.setattr(PristineWeights, "load", lambda _: pytest.fail("computed again"))
    again = compute(tiny_encoded(), config.replace(dropout=0.5), tmp_path)
    for name in SPLITS:
        assert np.array_equal(first.split(name).features, again.split(name).features)
        assert not again.split(name).features.flags.writeable


def test_another_length_precision_encoder_or_text_is_computed_anew(tmp_path, encoder, config):
    seen = []

    def files():
        return {path.name for path in (tmp_path / "cache" / "features").iterdir()}

    other = tmp_path / "other"
    shutil.copytree(encoder, other)
    tiny_encoder(other, seed=1)
    for data, changed in (
        (tiny_encoded(), config),
        (tiny_encoded(), config.replace(max_length=8)),
        (tiny_encoded(), config.replace(precision="bf16")),
        (tiny_encoded(), config.replace(encoder=str(other))),
        (tiny_encoded(seed=1), config),
    ):
        compute(data, changed, tmp_path / "cache")
        seen.append(files())
    assert [len(names) for names in seen] == [3, 6, 9, 12, 15]
    assert resolve_encoder(str(other)) != resolve_encoder(str(encoder))


def test_weights_changed_in_place_are_noticed(tmp_path, config):
    folder = tiny_encoder(tmp_path / "encoder")
    config = config.replace(encoder=str(folder))
    before = compute(tiny_encoded(), config, tmp_path).val.features
    tiny_encoder(folder, seed=5)
    after = compute(tiny_encoded(), config, tmp_path).val.features
    assert not np.allclose(before, after)


def test_bf16_stays_near_float32(tmp_path, config):
    exact = compute(tiny_encoded(), config, tmp_path).val.features
    rough = compute(tiny_encoded(), config.replace(precision="bf16"), tmp_path).val.features
    assert not np.array_equal(exact, rough)
    np.testing.assert_allclose(rough, exact, atol=0.05 * np.abs(exact).max())


def test_padded_as_on_a_gpu_they_are_those_of_packed_documents(encoder):
    extractor = Extractor.load(str(encoder), device=CPU, precision="fp32", pad_id=0)
    for lengths in ([2, 3, 17, 17, 64], [8, 8]):  # the second: nothing to pad
        tokens = [np.random.default_rng(n).integers(5, 45, n).tolist() for n in lengths]
        split = encoded_split(tokens, [(0,)] * len(tokens))
        with torch.no_grad():
            padded, packed = extractor._padded(split), extractor._packed(split)
        torch.testing.assert_close(padded, packed, atol=1e-5, rtol=1e-5)


def test_progress_goes_from_none_to_all_word_pieces_of_each_split(tmp_path, config):
    calls = []
    data = compute(tiny_encoded(), config, tmp_path, on_progress=lambda *call: calls.append(call))
    assert [name for name, done, _ in calls if not done] == list(SPLITS)
    last = {name: (done, total) for name, done, total in calls}
    sizes = {name: len(data.split(name).token_ids) for name in SPLITS}
    assert last == {name: (size, size) for name, size in sizes.items()}


def test_what_was_computed_survives_an_interruption(tmp_path, config):
    def stop_in_val(name, *_):
        if name == "val":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute(tiny_encoded(), config, tmp_path, on_progress=stop_in_val)
    again = []
    compute(tiny_encoded(), config, tmp_path, on_progress=lambda name, *_: again.append(name))
    assert set(again) == {"val", "test"}


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
)
def test_no_memory_is_one_line(tmp_path, config, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(Extractor, "__call__", fail)
    with pytest.raises(UserError, match=r"^memory ran out: close other programs"):
        compute(tiny_encoded(), config, tmp_path)


@pytest.fixture
def pooled(monkeypatch):
    """Everything is worth a pool, and has several parts for each process."""
    monkeypatch.setattr(features_module, "_WORTH_A_POOL", 10)
    monkeypatch.setitem(extractor_module._MAX_TOKENS, "cpu", 200)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_processes_give_what_one_process_gives(tmp_path, config, request):
    alone = compute(tiny_encoded(), config, tmp_path / "alone")
    request.getfixturevalue("pooled")
    together = compute(tiny_encoded(), config, tmp_path / "together", processes=2)
    for name in SPLITS:
        ours, theirs = together.split(name).features, alone.split(name).features
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert "LD_PRELOAD" not in os.environ
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert not multiprocessing.active_children()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("pooled")
def test_a_process_that_dies_is_one_line(tmp_path, config):
    def kill_one():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        children[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(UserError, match="a process that computed features died") as caught:
        compute(tiny_encoded(), config, tmp_path, processes=2)
    killer.join()
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("pooled")
def test_a_damaged_encoder_is_told_of_by_processes_as_by_one(tmp_path, config, capfd):
    folder = tiny_encoder(tmp_path / "encoder")
    (folder / "model.safetensors").write_bytes(b"no weights")
    capfd.readouterr()
    with pytest.raises(UsageError, match="are damaged or do not fit"):
        compute(tiny_encoded(), config.replace(encoder=str(folder)), tmp_path, processes=2)
    assert capfd.readouterr().err == ""
    assert not multiprocessing.active_children()


INTERRUPTED = """
import signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
import pickle, sys, time
from pathlib import Path
from trainable import extractor, features
from trainable.config import TrialConfig

def on_progress(split, done, total):
    print("computing" if done else "begun", flush=True)
    for _ in range(600 if done else 0):  # one long sleep would miss a signal just before it
        time.sleep(0.1)

if __name__ == "__main__":
    features._WORTH_A_POOL, extractor._MAX_TOKENS["cpu"] = 10, 20
    config = TrialConfig(encoder=sys.argv[1], max_length=32, tune="head", precision="fp32")
    folder = Path(sys.argv[2])
    data = pickle.loads((folder / "data").read_bytes())
    cpu = features.torch.device("cpu")
    try:
        features.with_features(
            data, config, device=cpu, processes=2, cache_dir=folder, on_progress=on_progress
        )
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", ["begun", "computing"])
def test_ctrl_c_leaves_no_process_and_no_traceback(tmp_path, encoder, when):
    psutil = pytest.importorskip("psutil")
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    (tmp_path / "data").write_bytes(pickle.dumps(tiny_encoded(train=2000)))
    with subprocess.Popen(
        [sys.executable, str(script), str(encoder), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal's Ctrl-C goes to all of its processes
    ) as owner:
        while owner.stdout.readline().strip() != when:
            assert owner.poll() is None
        family = []
        while len(family) < 3:  # two that compute and multiprocessing's own
            family = psutil.Process(owner.pid).children(recursive=True)
        time.sleep(0.5 if when == "begun" else 0.0)  # their imports take seconds
        os.killpg(owner.pid, signal.SIGINT)
        begun = time.monotonic()
        try:
            assert owner.communicate(timeout=60) == ("interrupted\n", "")
        finally:
            owner.kill()
    assert time.monotonic() - begun < 10
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives_and_its_memory_back(tmp_path, config):
    before = torch.cuda.memory_reserved()
    cuda = torch.device("cuda")
    there = with_features(tiny_encoded(), config, device=cuda, cache_dir=tmp_path)
    assert torch.cuda.memory_reserved() == before
    here = compute(tiny_encoded(), config, tmp_path)
    for name in SPLITS:
        ours, theirs = there.split(name).features, here.split(name).features
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_too_few_positions(tmp_path, config):
    with pytest.raises(UsageError, match="at most 64"):
        compute(tiny_encoded(), config.replace(max_length=65), tmp_path)
