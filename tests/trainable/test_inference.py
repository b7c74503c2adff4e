"""A trained folder answers as it did in the test evaluation of its training."""

import contextlib
import json
import pickle
import shutil
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import f1_score

from tests.tiny import encoded_split
from tests.trained_folder import HEAD, MAX_LENGTH, train_folder
from trainable import extractor
from trainable.choice import Choice
from trainable.errors import UsageError, UserError
from trainable.inference import Predictor, over_threads
from trainable.saved_model import SavedModel


@pytest.fixture(scope="module", params=["all", "head"])
def made(request, tmp_path_factory):
    settings = HEAD if request.param == "head" else {}
    return train_folder(tmp_path_factory.mktemp(request.param), **settings)


@pytest.fixture
def copy(made, tmp_path):
    """A folder to damage."""
    return shutil.copytree(made.folder, tmp_path / "model")


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def test_the_test_report_comes_out_again(made):
    predictor = Predictor.load(made.folder)
    found = predictor.labels(predictor.probabilities(made.texts))
    predicted = [{name for name, _ in labels} for labels in found]
    names = predictor.label_names
    true_NL = np.zeros((len(found), len(names)), bool)
    for n, labels in enumerate(made.result.dataset.test.labels):
        true_NL[n, list(labels)] = True
    found_NL = np.array([[name in labels for name in names] for labels in predicted])
    report = made.report
    assert 0.4 < report["micro_f1"] < 1
    assert f1_score(true_NL, found_NL, average="micro") == pytest.approx(report["micro_f1"], 1e-12)
    rows = {row["label"]: row for row in report["per_label"]}
    per_label_L = f1_score(true_NL, found_NL, average=None, zero_division=0)
    assert per_label_L == pytest.approx([rows[name]["f1"] for name in names])


def test_what_is_asked_beside_a_text_does_not_matter(made):
    predictor = Predictor.load(made.folder)
    together = predictor.probabilities(made.texts)
    alone = np.concatenate([predictor.probabilities([text]) for text in made.texts[:10]])
    np.testing.assert_allclose(alone, together[:10], atol=1e-6)


def test_any_number_of_texts_goes_through_in_chunks(made, monkeypatch):
    predictor = Predictor.load(made.folder)
    whole = predictor.probabilities(made.texts)
    sizes = []
    logits = predictor._logits
    monkeypatch.setattr("trainable.inference._CHUNK_DOCS", 16)
    object.__setattr__(predictor, "_logits", lambda s: (sizes.append(len(s)), logits(s))[1])
    np.testing.assert_allclose(predictor.probabilities(made.texts), whole, atol=1e-6)
    assert sizes == [16, 16, 16, 2]
    assert predictor.probabilities([]).shape == (0, 5)


def test_threads_change_no_bit(made, monkeypatch):
    monkeypatch.setitem(extractor._MAX_TOKENS, "cpu", 100)
    before = torch.get_num_threads()
    found = []
    for cores in ({0}, {0, 1, 2}):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: cores)
        found.append(Predictor.load(made.folder).probabilities(made.texts))
    np.testing.assert_array_equal(*found)
    assert torch.get_num_threads() == before


def test_each_core_has_its_slices_and_the_order_is_kept(monkeypatch):
    monkeypatch.setitem(extractor._MAX_TOKENS, "cpu", 40)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    together = threading.Barrier(2, timeout=20)  # two are at work at once, or nobody goes on
    threads = set()

    def lengths(split):
        assert torch.get_num_threads() == 1
        assert not torch.is_grad_enabled()
        together.wait()
        threads.add(threading.get_ident())
        return torch.from_numpy(split.lengths)[:, None]

    split = encoded_split([[1] * n for n in (30, 5, 20, 11, 40, 7)], [[]] * 6)
    found = over_threads(lengths, torch.device("cpu"))(split)
    assert found.flatten().tolist() == [30, 5, 20, 11, 40, 7]
    assert len(threads) == 2


def test_long_and_empty_texts(made):
    predictor = Predictor.load(made.folder)
    words = made.texts[0].split() * 30
    cut = " ".join(words[: MAX_LENGTH - 2])
    found = predictor.probabilities([" ".join(words), cut, "", "nothing known"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert np.isfinite(found).all()


def test_which_labels_are_named(made):
    predictor = Predictor.load(made.folder)
    probs = np.array([[0.3, 0.31, 0.9, 0.2999, 0.3], [0.1, 0.2, 0.1, 0.05, 0.2]], np.float32)
    assert predictor.labels(probs) == [
        [("mean", 0.9), ("good", 0.31), ("big", 0.3), ("seldom", 0.3)],
        [],
    ]
    assert predictor.labels(probs, Choice(threshold=0.2))[1] == [("good", 0.2), ("seldom", 0.2)]
    assert predictor.labels(probs, Choice(top=1)) == [[("mean", 0.9)], [("good", 0.2)]]
    assert len(predictor.labels(probs, Choice(top=99))[1]) == 5


def test_a_threshold_of_each_label(copy):
    change_config(copy, thresholds=[0.9, 0.1, 0.5, 0.5, 0.5])
    probs = np.array([[0.8, 0.2, 0.4, 0.5, 0.0]], np.float32)
    predictor = Predictor.load(copy)
    assert [name for name, _ in predictor.labels(probs)[0]] == ["rare", "good"]
    assert [name for name, _ in predictor.labels(probs, Choice(threshold=0.8))[0]] == ["big"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": 0}, "threshold must lie in (0, 1), got 0"),
        ({"threshold": 1.5}, "threshold must lie in (0, 1), got 1.5"),
        ({"threshold": float("nan")}, "threshold must lie in (0, 1), got nan"),
        ({"top": 0}, "top must be at least 1, got 0"),
        ({"top": 2, "threshold": 0.5}, "top names labels whatever their probability: leave thr"),
    ],
)
def test_choices_that_make_no_sense(values, message):
    with pytest.raises(UsageError) as caught:
        Choice(**values)
    assert str(caught.value).startswith(message)


def test_nothing_of_the_folder_is_run_or_unpickled(copy, tmp_path, monkeypatch):
    told = tmp_path / "told"
    evil = f"import pathlib\npathlib.Path({str(told)!r}).touch()\n"
    for path in copy.glob("*.py"):
        path.write_text(evil)
    (copy / "__init__.py").write_text(evil)

    class Bomb:
        def __reduce__(self):
            return exec, (evil,)

    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, None)
    monkeypatch.setattr(torch, "load", None)
    assert Predictor.load(copy).probabilities(["w1 w2"]).shape == (1, 5)
    assert not told.exists()


def refused(folder, error=UsageError):
    with pytest.raises(error) as caught:
        Predictor.load(folder).probabilities(["w1"])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_folder(tmp_path):
    assert refused(tmp_path / "no").startswith(f"model folder '{tmp_path}/no' does not exist: ")
    (tmp_path / "file").write_text("")
    assert f"'{tmp_path}/file' is a file: give one that `python -m" in refused(tmp_path / "file")
    assert refused(tmp_path) == (
        f"'{tmp_path}' is not a model folder of `python -m trainable BEST.YAML --out MODEL`: "
        "it has no config.json"
    )


@pytest.mark.parametrize(
    "name", ["model.safetensors", "best.yaml", "config.json", "tokenizer.json"]
)
def test_a_file_is_missing(copy, name):
    (copy / name).unlink()
    assert refused(copy).endswith(f"it has no {name}")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "is not a model of this program: config.json mu"),
        ({"architectures": None}, "is not a model of this program: "),
        ({"threshold": None}, "is damaged: config.json must hold threshold in (0, 1), or thresh"),
        ({"threshold": 1.0}, "is damaged: config.json must hold threshold in (0, 1)"),
        ({"thresholds": [0.5]}, "or thresholds: 5 of them; train it again"),
        ({"id2label": {"0": "a", "1": "a"}}, "must hold id2label, distinct names for '0', '1', "),
        ({"id2label": {"1": "a"}}, "must hold id2label"),
        ({"id2label": {"0": "a", "1": "b"}}, "is damaged: "),
        ({"hidden_size": 64}, "is damaged: model.safetensors does not fit config.json ("),
    ],
)
def test_a_config_that_was_edited(copy, values, message):
    assert message in refused(change_config(copy, **values))


def test_a_config_that_is_not_json(copy):
    (copy / "config.json").write_text("{")
    assert "is damaged: config.json is not JSON (" in refused(copy)


def test_weights_that_are_cut_off(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "is damaged: model.safetensors is damaged (" in refused(copy)


def test_weights_of_another_model(copy):
    path = copy / "model.safetensors"
    state = load_file(path)
    state.pop(next(name for name in state if name.endswith("classifier.bias")))
    save_file(state, path)
    assert "model.safetensors does not fit config.json (" in refused(copy)


def test_weights_that_are_not_finite(copy):
    path = copy / "model.safetensors"
    state = load_file(path)
    next(value for name, value in state.items() if name.endswith("classifier.bias")).fill_(
        torch.nan
    )
    save_file(state, path)
    assert refused(copy, UserError).startswith("the model's weights give numbers that are not fin")


def test_a_tokenizer_that_cuts_nowhere(copy):
    path = copy / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": 10**9}))
    assert "model_max_length in 3..64, got 1000000000" in refused(copy)


def test_a_tokenizer_that_is_damaged(copy):
    (copy / "tokenizer.json").write_text("{}")
    assert f"the tokenizer in '{copy}' cannot be read: " in refused(copy)


def test_a_tokenizer_with_code_of_its_own_is_not_asked_about(copy, tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", None)
    (copy / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'told')!r}).touch()"
    )
    path = copy / "tokenizer_config.json"
    values = {"auto_map": {"AutoTokenizer": [None, "evil.T"]}, "tokenizer_class": "T"}
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    with contextlib.suppress(UsageError):  # refused, or read with transformers' own class
        Predictor.load(copy)
    assert not (tmp_path / "told").exists()


def test_memory_that_runs_out_is_one_line(made):
    predictor = Predictor.load(made.folder)

    def full(_split):
        raise MemoryError

    object.__setattr__(predictor, "_logits", full)
    with pytest.raises(UserError, match="memory ran out: close other programs"):
        predictor.probabilities(["w1"])


def test_the_setting_of_precision_is_kept(copy):
    assert SavedModel.load(copy).precision == "fp32"
