"""The real command on a tiny BERT and a tiny corpus: run, resume, export, Ctrl-C."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from search.results import load_search
from tests.tiny import tiny_dataset, tiny_encoder
from trainable.best import BestConfig

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {
    "MLFLOW_TRACKING_PASSWORD": "hunter2-of-mlflow",
    "AWS_SECRET_ACCESS_KEY": "hunter2-of-aws",
    "DATABASE": "postgresql://ann:hunter2-of-pg@host/db",
}


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    """A folder with an encoder and a corpus; LONGTAIL_CACHE lies there too."""
    folder = tmp_path_factory.mktemp("entry")
    tiny_encoder(folder / "bert")
    dataset = tiny_dataset(train=120, val=40, test=40)
    with (folder / "tiny.jsonl").open("w") as file:
        for name in ("train", "val", "test"):
            split = dataset.split(name)
            for text, labels in zip(split.texts, split.labels, strict=True):
                row = {"text": text, "labels": [dataset.label_names[label] for label in labels]}
                file.write(json.dumps({**row, "split": name}) + "\n")
    return folder


def command(room: Path, *argv: str) -> list[str]:
    return [sys.executable, "-m", "search", *argv, "--runs-dir", str(room / "runs")]


def run_arguments(room: Path, name: str, *argv: str) -> list[str]:
    return command(
        room,
        *("run", "--data", str(room / "tiny.jsonl"), "--encoder", str(room / "bert")),
        *("--preset", "smoke", "--name", name, "--set", "max_length=32", *argv),
    )


def environment(room: Path) -> dict[str, str]:
    """A user's: what other tests of this process told Ray is not in it."""
    own = {"LONGTAIL_CACHE": str(room / "cache"), "PYTHONPATH": str(ROOT)}
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
    return {**inherited, **SECRETS, **own}


def run(room: Path, argv: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        argv, env=environment(room), cwd=room, capture_output=True, text=True, check=False
    )


def test_run_resume_and_export(room):
    options = ("--loss", "bce", "--trials", "3", "--epochs", "4", "--time-budget", "10m")
    done = run(
        room,
        run_arguments(room, "one", *options, "--set", "learning_rate=5e-3", "--set", "dropout=0"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning: nothing is searched: every trial has the same settings" in done.stderr
    for text in ("search one", "120 / 40 / 40 documents", "best (trial 0), test", "retrain"):
        assert text in done.stdout

    folder = room / "runs/one"
    record = load_search(folder)
    assert record.status == "completed"
    assert len(record.trials) == 3
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["best"]["objective"] == record.best.best_objective
    assert summary["test"]["micro_f1"] > 0.6  # the commonest label alone: about 0.5
    with (folder / "trials.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
    for name in ("spec.yaml", "dataset.json", "versions.json", "test_report.json", "best.yaml"):
        assert (folder / name).is_file()
    assert (room / "runs/mlflow.db").is_file()

    longer = run(room, command(room, "resume", "one", "--trials", "4"))
    assert longer.returncode == 0, longer.stdout + longer.stderr
    assert len(load_search(folder).trials) == 4

    path = room / "exported.yaml"
    exported = run(room, command(room, "export", "one", "-o", str(path)))
    assert exported.returncode == 0, exported.stderr
    assert BestConfig.load(path).objective == load_search(folder).best.best_objective

    texts = [done.stdout, longer.stdout, exported.stdout, done.stderr, longer.stderr]
    assert "hunter2" not in "".join(texts)
    files = [path for path in room.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if b"hunter2" in path.read_bytes()] == []

    again = run(room, run_arguments(room, "one"))
    assert again.returncode == 2
    assert again.stderr.startswith("error: search 'one' exists in")


def check_private(family: list[psutil.Process]) -> None:
    """No secret in any process but the one that speaks to MLflow, and no open door."""
    told, heard = [], []
    for child in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            words, environ = child.cmdline(), child.environ()
            assert "hunter2" not in str(words)
            if "search.tracking" not in words and "hunter2" in str(environ):
                told.append(words)
            connections = child.net_connections(kind="inet")
            name = " ".join(words[:2])  # a raylet's arguments name the others
            heard += [(c.laddr, name) for c in connections if c.status == psutil.CONN_LISTEN]
    assert told == []
    assert [words for _, words in heard if "dashboard" in words.lower()] == []
    ours = ("gcs_server", "raylet", "ray::")  # gRPC with the token of this search
    assert [words for _, words in heard if not any(name in words for name in ours)] == []
    [agent] = [address for address, words in heard if "RuntimeEnvAgent" in words]
    url = f"http://{agent.ip}:{agent.port}/get_or_create_runtime_env"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, data=b"x", timeout=20)
    caught.value.close()
    assert caught.value.code == 401


def test_ctrl_c_keeps_what_there_is(room):
    process = subprocess.Popen(
        run_arguments(room, "two", "--epochs", "500", "--trials", "4", "--time-budget", "15m"),
        env=environment(room),
        cwd=room,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = room / "runs/two/journal.jsonl"
    deadline = time.monotonic() + 300
    while not (journal.exists() and '"event": "epoch"' in journal.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.5)
    family = psutil.Process(process.pid).children(recursive=True)
    try:
        check_private(family)
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=180)
    assert process.returncode == 130, out + err
    assert "Traceback" not in out + err
    assert "interrupted; continue with: python -m search resume two" in out
    assert load_search(room / "runs/two").status == "interrupted"
    assert (room / "runs/two/best.yaml").is_file()
    _, alive = psutil.wait_procs(family, timeout=90)  # Ray's agents take a minute
    assert alive == []


def test_data_that_is_refused_leaves_nothing(room):
    (room / "broken.jsonl").write_text('{"text": "a", "labels": ["x"]}\n{"text": \n')
    done = run(room, run_arguments(room, "bad", "--data", str(room / "broken.jsonl")))
    assert done.returncode == 2
    assert "broken.jsonl" in done.stderr.splitlines()[-1]
    assert not (room / "runs/bad").exists()


def test_a_head_search_and_a_full_one_that_starts_from_its_best_trials(room):
    head = run(
        room, run_arguments(room, "head", "--tune", "head", "--trials", "3", "--epochs", "4")
    )
    assert head.returncode == 0, head.stderr
    assert "frozen, a head" in " ".join(head.stdout.split())  # however it was wrapped
    heads = load_search(room / "runs" / "head")
    assert heads.test_report["num_docs"] == 40
    assert sum(path.stat().st_size for path in (heads.folder / "weights").iterdir()) < 2**20
    full = run(
        room,
        run_arguments(room, "full", "--start-from", "head", "--trials", "2", "--epochs", "1"),
    )
    assert full.returncode == 0, full.stderr
    first = load_search(room / "runs" / "full").trials[1].params
    taken = {name: value for name, value in heads.best.params.items() if name != "learning_rate"}
    assert first == {**taken, "learning_rate": first["learning_rate"]}
    assert 1e-5 <= first["learning_rate"] <= 1e-3


def test_an_earlier_search_that_is_not_there(room):
    refused = run(room, [*run_arguments(room, "late"), "--start-from", "x", "--runs-dir", "none"])
    assert refused.returncode == 2
    assert refused.stderr == f"error: no search 'x': {room / 'none'} holds none; see --runs-dir\n"
    assert not (room / "none").exists()
