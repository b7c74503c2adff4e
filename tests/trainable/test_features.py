"""Features of a frozen encoder: equal to transformers' own, cached, and never mixed up."""

import concurrent.futures
import dataclasses
import os
import shutil
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
import torch
from transformers import BertModel

from tests.tiny import encoded_split, tiny_encoded, tiny_encoder
from trainable import feature_pool
from trainable import features as features_module
from trainable.config import TrialConfig
from trainable.datasets.records import SPLITS
from trainable.encoders import resolve_encoder
from trainable.errors import UsageError, UserError
from trainable.features import with_features
from trainable.model import PristineWeights

CPU = torch.device("cpu")


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


def test_progress_ends_with_all_word_pieces_of_each_split(tmp_path, config):
    calls = []
    data = compute(tiny_encoded(), config, tmp_path, on_progress=lambda *call: calls.append(call))
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


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_processes_give_what_one_process_gives(tmp_path, config, monkeypatch):
    alone = compute(tiny_encoded(), config, tmp_path / "alone")
    monkeypatch.setattr(features_module, "_WORTH_A_POOL", 10)
    monkeypatch.setitem(features_module._MAX_TOKENS, "cpu", 200)  # several parts for each process
    together = compute(tiny_encoded(), config, tmp_path / "together")
    for name in SPLITS:
        ours, theirs = together.split(name).features, alone.split(name).features
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert "LD_PRELOAD" not in os.environ


def test_a_process_that_dies_is_one_line():
    broken = concurrent.futures.Future()
    broken.set_exception(BrokenProcessPool("died"))
    with pytest.raises(UserError, match="a process that computed features died"):
        feature_pool._result(broken)


def test_too_few_positions(tmp_path, config):
    with pytest.raises(UsageError, match="at most 64"):
        compute(tiny_encoded(), config.replace(max_length=65), tmp_path)
