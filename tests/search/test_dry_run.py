"""`run --dry-run` does all but the search, and writes nothing but caches."""

import json
import time

import pytest

from search import outlook
from search.cli import main
from search.probing import Probed
from tests.tiny import tiny_dataset, tiny_encoder


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a small search of a file; the exit code, output and errors."""
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("search.run._search", lambda *_: pytest.fail("it ran"))
    answer = Probed(
        device="cpu",
        precision="fp32",
        at_once=1,
        epoch_s=2.0,
        memory_bytes=2**30,
        memory_total=0,
        measured_at=time.time(),
        busy=False,
    )
    monkeypatch.setattr(outlook, "probe", lambda *_, **__: answer)
    dataset = tiny_dataset()
    rows = []
    for name in ("train", "val", "test"):
        split = dataset.split(name)
        for text, labels in zip(split.texts, split.labels, strict=True):
            names = [dataset.label_names[label] for label in labels]
            rows.append(json.dumps({"text": text, "labels": names, "split": name}) + "\n")
    (tmp_path / "tiny.jsonl").write_text("".join(rows))
    encoder = tiny_encoder(tmp_path / "bert")

    def command(*argv: str):
        fixed = ("--data", str(tmp_path / "tiny.jsonl"), "--encoder", str(encoder))
        fixed += ("--set", "max_length=32", "--runs-dir", str(tmp_path / "runs"))
        capsys.readouterr()
        code = main(["run", *fixed, "--preset", "smoke", "--max-concurrent", "1", *argv])
        assert {path.name for path in tmp_path.iterdir()} <= {
            *("tiny.jsonl", "bert", "cache", "space.yaml")
        }
        return code, *capsys.readouterr()

    return command


def test_everything_is_told_and_nothing_written(run):
    code, out, err = run("--dry-run", "--loss", "db")
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    for part in (
        "60 / 20 / 20 documents",
        "an epoch 2 s: 60 documents to train on, 20 to validate",
        "4 trials reach epoch 1, about 2 epoch 2, about 2 epoch 3 (the last)",
        "space of loss db",
        "nothing was written; the same without --dry-run runs it",
    ):
        assert part in text


def test_json_alone_on_standard_output(run):
    code, out, err = run("--dry-run", "--json", "--loss", "bce", "--time-budget", "3")
    found = json.loads(out)
    assert code == 0
    assert "reading file" in err
    assert found["documents"] == {"train": 60, "val": 20, "test": 20}
    assert found["spec"]["config"]["loss"] == "bce"
    assert found["probed"]["epoch_s"] == 2.0
    assert found["forecast"]["longest_epochs"] == 12
    assert found["forecast"]["budget_s"] == 3.0
    assert [stage["epoch"] for stage in found["reach"]] == [1, 2, 3]
    assert 0 < found["disk_most"] < found["disk_free"]


def test_json_of_a_run_there_is_none(run):
    code, _, err = run("--json")
    assert (code, err) == (2, "error: --json belongs to --dry-run: add it, or leave --json out\n")


@pytest.mark.parametrize("how", [("--dry-run",), ()])
def test_a_dead_dimension_ends_a_run_too(run, tmp_path, how):
    (tmp_path / "space.yaml").write_text("batch_size: [64, 256]\n")
    code, _, err = run("--space", str(tmp_path / "space.yaml"), "--loss", "bce", *how)
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert line == (
        "error: the searched setting 'batch_size' (64, 256: the 3 steps of a training have the "
        "same learning rates and documents) changes neither loss nor update: fix it with "
        "--set batch_size=64, or take it out of --space"
    )
