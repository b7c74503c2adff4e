"""`python -m trainable evaluate`: the training's own numbers again, comparisons, mistakes."""

import json
import shutil

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.trained_folder import train_folder
from trainable.cli import main
from trainable.inference import Predictor
from trainable.predictions import Predictions

GROUPS = ("head", "medium", "tail")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_folder(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """On the same documents, worse: it learns slowly."""
    return train_folder(tmp_path_factory.mktemp("two"), learning_rate=1e-5)


@pytest.fixture
def evaluate(trained, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(*words, folder=None, code=0):
        data = trained.folder.parent / "words.jsonl"
        capsys.readouterr()
        given = [] if "--data" in words else ["--data", str(data)]
        assert main(["evaluate", str(folder or trained.folder), *given, *map(str, words)]) == code
        return capsys.readouterr()

    return call


def test_the_scores_are_those_of_the_training(trained, evaluate):
    got = json.loads(evaluate("--json").out)
    assert got["same_data"] is True
    assert got.keys() - {"same_data"} == trained.report.keys()
    for score in ("micro_f1", "macro_f1", "micro_precision", "macro_recall_at_0.5"):
        assert got[score] == pytest.approx(trained.report[score], abs=1e-6)
    assert got["per_label"] == trained.report["per_label"]
    assert got["intervals"] == trained.report["intervals"]


def test_the_table(trained, evaluate):
    out, err = evaluate("--labels")
    report = trained.report
    first = f"{100 * report['micro_f1']:.2f}/{100 * report['macro_f1']:.2f}"
    assert first in out.splitlines()[1]
    for word in ("head", "tail", "single-label", "multi-label", "micro ROC AUC", "seldom"):
        assert word in out
    assert err == ""


def test_validation_and_a_file(evaluate, tmp_path):
    evaluate("--split", "val", "--out", tmp_path / "val.json")
    got = json.loads((tmp_path / "val.json").read_text())
    assert (got["split"], got["num_docs"]) == ("val", 30)
    err = evaluate("--out", tmp_path / "val.json", code=2).err
    assert "must be a new file" in err


def test_thresholds_of_their_own_stand_beside(trained, evaluate):
    got = json.loads(evaluate("--json", "--thresholds", "per-label").out)
    assert got["micro_f1"] == pytest.approx(trained.report["micro_f1"], abs=1e-6)
    limits = np.float32([row["own_threshold"] for row in got["per_label"]])
    probs = Predictor.load(trained.folder).probabilities(trained.texts)
    kept = Predictions.load(trained.folder / "test_predictions.npz")
    true = kept.true.matrix(5).toarray()
    want = f1_score(true, probs >= limits, average="macro", zero_division=0)
    assert got["own_thresholds"]["macro_f1"] == pytest.approx(want, abs=1e-6)
    assert "smoothing" in got["own_thresholds"]
    assert "a threshold for each label" in evaluate("--thresholds", "per-label").out


def test_against_another_model(trained, other, evaluate):
    got = json.loads(evaluate("--json", "--against", other.folder).out)["against"]
    for row in ("total", *GROUPS):
        for score in ("micro_f1", "macro_f1"):
            scores = [
                model.report[score] if row == "total" else model.report[row][score]
                for model in (trained, other)
            ]
            assert got[row][score]["difference"] == pytest.approx(scores[0] - scores[1], abs=1e-6)
    total = got["total"]["micro_f1"]
    assert total["low"] < total["difference"] < total["high"]
    assert "minus the other" in evaluate("--against", other.folder).out


def test_mistakes_are_one_line(trained, evaluate, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for words, says in (
        (("--against", empty), "holds no test_predictions.npz; give the folder of a search"),
        (("--against", trained.folder, "--split", "val"), "compares on test"),
        (("--data", tmp_path / "none.jsonl"), "none.jsonl"),
    ):
        [line] = evaluate(*words, code=2).err.splitlines()
        assert says in line
    [line] = evaluate(folder=empty, code=2).err.splitlines()
    assert "is not a model folder" in line


def test_data_with_other_labels_are_refused(trained, evaluate, tmp_path):
    path = tmp_path / "other.jsonl"
    text = (trained.folder.parent / "words.jsonl").read_text()
    path.write_text(text.replace('"seldom"', '"never"'))
    [line] = evaluate("--data", path, code=2).err.splitlines()
    assert "have other labels than the model (2 differ: never, seldom)" in line


def test_other_data_with_the_same_labels_are_told(trained, evaluate, tmp_path):
    path = tmp_path / "fewer.jsonl"
    lines = (trained.folder.parent / "words.jsonl").read_text().splitlines()
    path.write_text("\n".join(lines[:-5]) + "\n")
    out, err = evaluate("--data", path)
    assert "45 documents of test" in out
    assert "warning: these are not the data that the model was trained on" in err


def test_a_damaged_copy_of_predictions(other, evaluate, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(other.folder, folder)
    (folder / "test_predictions.npz").write_bytes(b"PK")
    [line] = evaluate("--against", folder, code=2).err.splitlines()
    assert "cannot be read" in line
