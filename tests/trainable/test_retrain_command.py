"""`python -m trainable`: what it prints, and bad input as one line with exit code 2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.tiny import tiny_encoder
from trainable.best import BestConfig
from trainable.cli import main
from trainable.config import TrialConfig
from trainable.datasets import load_dataset
from trainable.datasets.records import SPLITS
from trainable.label_stats import label_stats
from trainable.retrain_command import _feature_lines
from trainable.tokenization import encode_dataset

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def best_yaml(tmp_path_factory):
    """A configuration on the demo corpus, whose validation score nobody has measured."""
    folder = tmp_path_factory.mktemp("best")
    patch = pytest.MonkeyPatch()
    patch.setenv("LONGTAIL_CACHE", str(folder / "cache"))
    config = TrialConfig(
        dataset="demo",
        encoder=str(tiny_encoder(folder / "encoder")),
        max_length=16,
        max_train_docs=100,
        max_val_docs=30,
        max_test_docs=30,
        loss="r-fl",
        epochs=2,
        precision="fp32",
        num_threads=1,
    )
    dataset = load_dataset(config)
    data = encode_dataset(dataset, encoder=config.encoder, max_length=16)
    mu = label_stats(data.train, data.num_labels).mu_estimate
    best = BestConfig(
        config=config.replace(mu=mu),
        best_epoch=1,
        threshold=0.3,
        validation={"val/objective": 0.99},
        search={},
        data_fingerprint=dataset.fingerprint,
        versions={},
    )
    best.save(folder / "best.yaml")
    yield folder / "best.yaml"
    patch.undo()


def test_prints_a_table_and_a_warning(best_yaml, tmp_path, capsys):
    assert main([str(best_yaml), "--out", str(tmp_path / "model")]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == [
        "test", "total", "head", "medium", "tail", "single-label", "multi-label", "threshold",
        "validation",
    ]  # fmt: skip
    assert "threshold 0.3, 30 documents" in out
    assert "(the trial's: 99.00)" in out
    lines = err.splitlines()
    assert lines[0].startswith("training r-fl on demo (train) with ")
    assert lines[0].endswith(": 1 of 2 epochs")
    assert lines[1].startswith("epoch 1/1  train loss ")
    assert "val micro-F1" in lines[1]
    assert lines[2].startswith("warning: the validation score differs from the trial's: ")
    assert lines[3] == f"model written to {tmp_path / 'model'}"
    assert len(lines) == 4


def test_json_and_train_on_both(best_yaml, tmp_path, capsys):
    arguments = [str(best_yaml), "--out", str(tmp_path / "m"), "--train-on", "train+val", "--json"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["train_on"] == "train+val"
    assert result["validation"] is None
    assert result["repeats_trial"] is None
    assert result["test"]["num_docs"] == 30
    assert result["test"]["threshold"] == 0.3
    assert "val micro-F1" not in err
    card = (tmp_path / "m" / "README.md").read_text()
    assert "no validation score exists, and the threshold is the one that the search chose" in card
    assert "130 documents (train+val) of demo" in card
    assert "The demo documents are synthetic" in card


def test_a_head_tells_of_its_features_and_their_precision(best_yaml, tmp_path, capsys):
    values = yaml.safe_load(best_yaml.read_text())
    values["config"] |= {"tune": "head", "head_hidden": 8, "precision": "bf16"}
    (tmp_path / "best.yaml").write_text(yaml.safe_dump(values))
    arguments = [str(tmp_path / "best.yaml"), "--out", str(tmp_path / "m"), "--json"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    told = [line for line in err.splitlines() if line.startswith("features of the frozen encoder")]
    assert told == [f"features of the frozen encoder: {name} 0 %" for name in SPLITS]
    assert json.loads(out)["precision"] == "bf16"
    assert "in bf16" in (tmp_path / "m" / "README.md").read_text()


def test_features_that_take_long_are_told_of_every_ten_seconds(capsys, monkeypatch):
    clock = iter([5.0, 9.0, 16.0, 17.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    on_progress = _feature_lines()
    for done in (0, 10, 20, 30):
        on_progress("train", done, 40)
    assert [line.split()[-2] for line in capsys.readouterr().err.splitlines()] == ["0", "50"]


def refused(arguments, capsys, code=2):
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    *_, last = err.splitlines()
    assert last.startswith("error: ")
    return last.removeprefix("error: ")


def test_an_out_folder_with_content_is_kept(best_yaml, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("precious")
    message = refused([str(best_yaml), "--out", str(tmp_path)], capsys)
    assert message == f"--out {tmp_path} exists and is not an empty folder: name another one"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    message = refused([str(best_yaml), "--out", str(tmp_path / "mine.txt")], capsys)
    assert message.endswith("mine.txt exists and is not an empty folder: name another one")


def test_an_out_folder_that_cannot_be_written(best_yaml, tmp_path, capsys, monkeypatch):
    # not by permissions: root may write anywhere
    monkeypatch.setattr("os.access", lambda path, mode: False)  # noqa: ARG005
    message = refused([str(best_yaml), "--out", str(tmp_path / "model")], capsys)
    assert message == (
        f"--out {tmp_path / 'model'} cannot be made: {tmp_path} is not a folder you can write to"
    )


def test_an_out_folder_below_a_file(best_yaml, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    message = refused([str(best_yaml), "--out", str(tmp_path / "file" / "model")], capsys)
    assert message.startswith(f"--out {tmp_path / 'file' / 'model'} cannot be ")


def test_a_full_disk_leaves_nothing_behind(best_yaml, tmp_path, capsys, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainable.model_folder.save_tensors", full)
    message = refused([str(best_yaml), "--out", str(tmp_path / "model")], capsys, code=1)
    assert "cannot be written: " in message
    assert "No space left on device" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 7}, "version 7 of longtail-search/best, but this program reads version 2"),
        ({"threshold": "high"}, "threshold must lie in (0, 1), got 'high'"),
        ({"data_fingerprint": "0" * 64}, "are not those of the search: fingerprint "),
        ({"colour": "red"}, "unknown key 'colour': "),
    ],
)
def test_an_edited_best_yaml(best_yaml, tmp_path, capsys, change, message):
    values = yaml.safe_load(best_yaml.read_text()) | change
    (tmp_path / "best.yaml").write_text(yaml.safe_dump(values))
    found = refused([str(tmp_path / "best.yaml"), "--out", str(tmp_path / "model")], capsys)
    assert message in found
    assert not (tmp_path / "model").exists()


def test_no_best_yaml(tmp_path, capsys):
    path = tmp_path / "none.yaml"
    assert refused([str(path), "--out", str(tmp_path / "m")], capsys) == f"{path}: no such file"


def test_data_that_are_not_there(best_yaml, tmp_path, capsys):
    values = yaml.safe_load(best_yaml.read_text())
    values["config"]["dataset"] = "file"
    (tmp_path / "best.yaml").write_text(yaml.safe_dump(values))
    arguments = [str(tmp_path / "best.yaml"), "--out", str(tmp_path / "model")]
    assert str(tmp_path / "x.csv") in refused(
        [*arguments, "--data", str(tmp_path / "x.csv")], capsys
    )
    assert not (tmp_path / "model").exists()


def test_ctrl_c_says_so(best_yaml, tmp_path, capsys, monkeypatch):
    def stop(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("trainable.retrain.retrain", stop)
    assert main([str(best_yaml), "--out", str(tmp_path / "model")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted: nothing was written"


def test_as_a_module_wrong_use_costs_no_torch():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "trainable", "none.yaml", "--out", "m"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: none.yaml: no such file"
    assert "| torch\n" not in done.stderr
    assert not (ROOT / "m").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: BEST.YAML, --out"),
        (["b", "--out", "m", "--bad"], "unrecognized arguments: --bad"),
        (["b", "--out", "m", "--train-on", "x"], "--train-on: invalid choice: 'x' (choose from "),
    ],
)
def test_wrong_use_is_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (2, 1)
    assert error.startswith(f"error: {message}")
    assert error.endswith("; see `python -m trainable --help`\n")


def test_an_unknown_users_home(best_yaml, tmp_path, capsys):
    arguments = [str(best_yaml), "--out", str(tmp_path / "m"), "--data", "~nosuchuser/d"]
    assert "--data ~nosuchuser/d: no home folder of that user is known" in refused(
        arguments, capsys
    )
