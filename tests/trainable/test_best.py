"""best.yaml: a round trip, and every edit into nonsense as one clear line."""

import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from trainable.best import BestConfig
from trainable.config import TrialConfig
from trainable.errors import UsageError

BEST = BestConfig(
    config=TrialConfig(dataset="demo", encoder="minilm", loss="db", mu=0.9, epochs=5),
    best_epoch=3,
    threshold=0.43,
    validation={"val/objective": 0.87, "val/micro_f1": 0.87, "val/macro_f1": 0.5},
    search={"name": "first", "trial": 4},
    data_fingerprint="0123456789abcdef",
    versions={"torch": "2.13.0"},
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "best.yaml"
    BEST.save(path)
    return path


def edit(path, change):
    values = yaml.safe_load(path.read_text())
    change(values)
    path.write_text(yaml.safe_dump(values))


def refusal(path):
    with pytest.raises(UsageError) as caught:
        BestConfig.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_round_trip(path):
    loaded = BestConfig.load(path)
    assert loaded == BEST
    assert loaded.objective == 0.87
    assert sorted(path.parent.iterdir()) == [path]


@settings(max_examples=30, deadline=None)
@given(
    rate=st.floats(1e-9, 1.0),
    epochs=st.integers(1, 100),
    threshold=st.floats(0.01, 0.99),
    separator=st.text(min_size=1, max_size=3),
)
def test_round_trip_of_any_numbers(tmp_path_factory, rate, epochs, threshold, separator):
    config = TrialConfig(loss="bce", learning_rate=rate, epochs=epochs, label_separator=separator)
    best = BestConfig(
        config=config,
        best_epoch=epochs,
        threshold=threshold,
        validation={"val/objective": threshold},
        search={},
        data_fingerprint="f",
        versions={},
    )
    path = tmp_path_factory.mktemp("best") / "best.yaml"
    best.save(path)
    assert BestConfig.load(path) == best


def test_it_is_readable(path):
    text = path.read_text()
    assert text.startswith("# Written by `python -m search export`")
    assert "format: longtail-search/best\nversion: 2\nconfig:\n" in text


def test_a_number_as_people_write_it(path):
    path.write_text(path.read_text().replace("learning_rate: 0.0001", "learning_rate: 2e-4"))
    assert BestConfig.load(path).config.learning_rate == 2e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format="x"), "not a best.yaml: it must hold 'format: longtail-search"),
        (
            lambda v: v.update(version=3),
            "version 3 of longtail-search/best, but this program reads version 2: "
            "export it again with this program",
        ),
        (lambda v: v.pop("version"), "version None of longtail-search/best, but this program"),
        (lambda v: v.update(treshold=0.5), "unknown key 'treshold': did you mean 'threshold'?"),
        (lambda v: v.pop("config"), "the key 'config' is missing: export it again"),
        (lambda v: v.update(config=7), "config must be a mapping of settings, got 7"),
        (
            lambda v: v["config"].update(learning_rat=1e-4),
            "unknown setting 'learning_rat': did you mean 'learning_rate'? Allowed: ",
        ),
        (
            lambda v: v["config"].update(learning_rate=0),
            "setting 'learning_rate' must lie in (0, 1], got 0",
        ),
        (
            lambda v: v["config"].update(learning_rate="fast"),
            "setting 'learning_rate' must be of type float, got 'fast'",
        ),
        (
            lambda v: v["config"].update(epochs="many"),
            "setting 'epochs' must be of type int, got 'many'",
        ),
        (lambda v: v["config"].update(loss="bd"), "unknown loss 'bd': did you mean 'db'?"),
        (lambda v: v["config"].update(loss=["db"]), "unknown loss '['db']': "),
        (
            lambda v: v["config"].update(cb_beta=0.9),
            "loss 'db' has no hyperparameter 'cb_beta': its formula uses gamma, ",
        ),
        (lambda v: v["config"].pop("mu"), "config lacks 'mu', which loss 'db' needs"),
        (lambda v: v.update(best_epoch=6), "best_epoch must be in 1..5, got 6"),
        (lambda v: v.update(best_epoch=0), "best_epoch must be in 1..5, got 0"),
        (lambda v: v.update(best_epoch=True), "best_epoch must be in 1..5, got True"),
        (lambda v: v.update(best_epoch="three"), "best_epoch must be in 1..5, got 'three'"),
        (lambda v: v.update(threshold=1), "threshold must lie in (0, 1), got 1"),
        (lambda v: v.update(threshold="half"), "threshold must lie in (0, 1), got 'half'"),
        (lambda v: v.update(threshold=float("nan")), "threshold must lie in (0, 1), got nan"),
        (lambda v: v.update(validation=0.87), "validation must be a mapping, got 0.87"),
        (
            lambda v: v.update(validation={}),
            "validation must hold val/objective in [0, 1], got None",
        ),
        (lambda v: v.update(data_fingerprint=123), "data_fingerprint must be text, got 123"),
        (lambda v: v.update(versions=None), "versions must be a mapping, got None"),
    ],
)
def test_edits_into_nonsense(path, change, message):
    edit(path, change)
    assert refusal(path).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a best.yaml: it must hold 'format: longtail-search/best'"),
        (b"- a\n- b\n", "not a best.yaml: it must hold 'format: longtail-search/best'"),
        (b"a: [1\nb: 2\n", "not valid YAML in line 2"),
        (b"a: !!python/object/apply:os.system ['true']\n", "not valid YAML in line 1"),
        (b"a: 2020-99-99\n", "not valid YAML"),
        (b"\xff\xfe\x00", "cannot be read: it is not text"),
    ],
)
def test_not_a_best_yaml(path, content, message):
    path.write_bytes(content)
    assert refusal(path) == message


def test_missing_or_a_folder(tmp_path):
    assert refusal(tmp_path / "none.yaml") == "no such file"
    assert refusal(tmp_path) == "cannot be read (Is a directory)"


def test_a_failed_save_leaves_nothing(path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    before = path.read_text()
    with pytest.raises(OSError, match="full"):
        BEST.save(path)
    assert sorted(path.parent.iterdir()) == [path]
    assert path.read_text() == before


def test_imports_no_torch():
    code = "import sys, trainable.best; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
