"""The model of a trial: pristine weights, a seeded head, padding without effect."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification

from tests.tiny import TINY_LABELS, encoded_split, tiny_encoder
from trainable.config import TrialConfig
from trainable.errors import UsageError
from trainable.forward import Forward
from trainable.model import PristineWeights, build_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def pristine(encoder) -> PristineWeights:
    return PristineWeights.load(str(encoder))


def model_of(pristine, *, seed=0, reuse=None, labels=TINY_LABELS, **settings):
    config = TrialConfig(loss="bce", encoder=pristine.encoder, seed=seed, **settings)
    return build_model(pristine, config, labels, CPU, reuse=reuse)


def same(left, right):
    pairs = zip(left.named_parameters(), right.named_parameters(), strict=True)
    return all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)


def test_the_encoder_has_the_weights_of_the_folder(encoder, pristine):
    on_disk = load_file(encoder / "model.safetensors")
    model = model_of(pristine)
    assert all(torch.equal(model.bert.get_parameter(name), on_disk[name]) for name in on_disk)
    assert isinstance(model, BertForSequenceClassification)


def test_config_of_the_model(pristine):
    config = model_of(pristine, dropout=0.2, attention_dropout=0.3).config
    assert config.id2label == dict(enumerate(TINY_LABELS))
    assert config.label2id == {name: label for label, name in enumerate(TINY_LABELS)}
    assert config.problem_type == "multi_label_classification"
    assert config._attn_implementation == "sdpa"
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.2, 0.3)


def test_dropout_goes_where_it_belongs(pristine):
    model = model_of(pristine, dropout=0.2, attention_dropout=0.3)
    found = {n: m.p for n, m in model.named_modules() if isinstance(m, torch.nn.Dropout)}
    attention = {name for name, p in found.items() if p == 0.3}
    assert attention == {f"bert.encoder.layer.{i}.attention.self.dropout" for i in range(2)}
    assert {p for name, p in found.items() if name not in attention} == {0.2}
    assert "dropout" in found  # before the classifier


def test_the_head_depends_on_the_seed_only(pristine):
    first = model_of(pristine, seed=1)
    torch.manual_seed(99)
    assert same(first, model_of(pristine, seed=1))
    other = model_of(pristine, seed=2)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert torch.equal(first.bert.pooler.dense.weight, other.bert.pooler.dense.weight)
    assert first.classifier.bias.abs().max() == 0


def test_building_leaves_the_global_generator_alone(pristine):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model_of(pristine)
    assert torch.equal(torch.rand(3), expected)


def test_a_reused_model_is_like_a_new_one(pristine):
    used = model_of(pristine, seed=1, dropout=0.5, attention_dropout=0.4)
    with torch.no_grad():
        for parameter in used.parameters():
            parameter.fill_(7.0)
            parameter.grad = torch.ones_like(parameter)
    again = model_of(pristine, seed=2, reuse=used)
    assert again is used
    fresh = model_of(pristine, seed=2)
    assert same(again, fresh)
    assert all(parameter.grad is None for parameter in again.parameters())
    assert {m.p for m in again.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}
    assert again.config.to_dict() == fresh.config.to_dict()


def test_a_model_of_other_labels_is_not_reused(pristine):
    used = model_of(pristine)
    assert model_of(pristine, reuse=used, labels=("x", "y")).config.num_labels == 2
    renamed = ("x", *TINY_LABELS[1:])
    assert model_of(pristine, reuse=used, labels=renamed).config.id2label[0] == "x"


def test_an_encoder_without_pooler_gets_a_seeded_one(encoder, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "no-pooler")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("pooler.")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    pristine = PristineWeights.load(str(folder))
    assert pristine.missing == ("pooler.dense.bias", "pooler.dense.weight")
    first, other = model_of(pristine, seed=1), model_of(pristine, seed=2)
    assert same(first, model_of(pristine, seed=1))
    assert not torch.equal(first.bert.pooler.dense.weight, other.bert.pooler.dense.weight)


def test_a_classifier_folder_lends_its_encoder(encoder, pristine, tmp_path):
    model_of(pristine, labels=("x", "y", "z")).save_pretrained(tmp_path)
    shutil.copy(encoder / "tokenizer.json", tmp_path)
    assert same(model_of(PristineWeights.load(str(tmp_path)), seed=3), model_of(pristine, seed=3))


def test_weights_that_lack_a_layer(encoder, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "incomplete")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if ".layer.1." not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"is incomplete: the weights in .* lack .*layer\.1\."):
        PristineWeights.load(str(folder))


def test_weights_that_are_no_safetensors(encoder, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "damaged")
    (folder / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match=r"cannot be read: .* damaged .*\(Safetensor"):
        PristineWeights.load(str(folder))


def test_a_pickle_that_runs_code_is_refused(encoder, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "evil")
    (folder / "model.safetensors").unlink()
    torch.save({"x": Evil(tmp_path / "was-here")}, folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"cannot be read: .* damaged .*\(Unpickl"):
        PristineWeights.load(str(folder))
    assert not (tmp_path / "was-here").exists()


def test_an_old_encoder_in_a_pickle_of_tensors(encoder, pristine, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "old")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert same(model_of(PristineWeights.load(str(folder))), model_of(pristine))


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_company_does_not_change_logits(pristine, precision, packed):
    lengths = [2, 5, 9, 17, 33, 64]
    documents = [[2, *(5 + i % 40 for i in range(length - 2)), 3] for length in lengths]
    split = encoded_split(documents, [[]] * 6)
    model = model_of(pristine).eval()
    forward = Forward(model=model, precision=precision, pad_id=0, packed=packed)
    alone = torch.cat([forward.inference(split, np.array([n])) for n in range(6)])
    with torch.no_grad(), forward.autocast():
        together = forward.logits(split, np.arange(6))
    tolerance = 1e-5 if precision == "fp32" else 2e-2
    assert torch.allclose(alone, together, atol=tolerance, rtol=0)
    assert torch.allclose(alone, forward.inference(split, np.arange(6)), atol=tolerance, rtol=0)
    plain = forward.model(torch.tensor([documents[2]])).logits  # transformers' own path
    assert torch.allclose(alone[2], plain[0], atol=tolerance, rtol=0)
    assert alone.dtype == torch.float32


def test_weights_from_shared_memory_are_only_read(pristine):
    shared = pickle.loads(pickle.dumps(pristine))
    for array in shared.state.values():
        array.flags.writeable = False
    assert same(model_of(shared), model_of(pristine))
