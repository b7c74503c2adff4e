"""Every bad input of `run` is one line with exit code 2, and leaves nothing behind."""

import errno
import os
import shutil
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from search import cluster_check, preflight
from search.cli import main
from search.cluster_check import check_cluster
from search.hardware import Hardware
from search.preflight import check_objective, points_left_out, storage_error, warnings_of
from search.request import RunRequest
from search.resolve import resolve
from trainable.errors import UsageError

ENCODED = SimpleNamespace(groups=("head", "tail"))
HERE = Hardware(cpus=2, memory_gib=16.0, gpus=0)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr("search.run.detect_hardware", lambda: HERE)
    monkeypatch.setattr("search.run.say_outlook", lambda *_: None)  # tests/search/test_outlook.py


@pytest.fixture
def refuse(tmp_path, capsys):
    """Run a bad command; its error line, after checking that nothing was written."""

    def run(*argv: str) -> str:
        runs = tmp_path / "runs"
        before = sorted(tmp_path.rglob("*"))
        assert main(["run", "--dataset", "demo", "--runs-dir", str(runs), *argv]) == 2
        assert sorted(tmp_path.rglob("*")) == before
        lines = capsys.readouterr().err.splitlines()
        assert len([line for line in lines if not line.startswith("warning: ")]) == 1
        return lines[-1].removeprefix("error: ")

    return run


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--loss", "bd"], "unknown loss 'bd': did you mean 'db'?"),
        (["--dataset", "reuter"], "unknown dataset 'reuter': did you mean 'reuters'? Allowed: reu"),
        (["--preset", "smoky"], "unknown preset 'smoky': did you mean 'smoke'?"),
        (["--set", "drpout=0"], "unknown setting 'drpout': did you mean 'dropout'?"),
        (["--set", "learning_rate=0"], "setting 'learning_rate' must lie in (0, 1], got 0.0"),
        (["--name", "../x"], "a search name has 1 to 100 letters, digits, '.', '_' or '-'"),
        (
            ["--preset", "paper"],
            "a trial asks for 1 GPU (preset 'paper') and torch sees none here: use --preset cpu",
        ),
        (["--gpus-per-trial", "0.5"], "a trial asks for 0.5 GPU (preset 'cpu') and torch sees no"),
        (["--cpus-per-trial", "3"], "--cpus-per-trial 3 is more than the 2 CPU cores of this mach"),
        (
            ["--max-concurrent", "3"],
            "--max-concurrent must be at most 2, got 3: this machine has 2 CPU cores, and a trial "
            "takes 1 CPU cores",
        ),
        (["--address", "nowhere"], "--address takes HOST:PORT of a Ray cluster's head,"),
        (
            ["--address", "ray://h:1"],
            "--address takes HOST:PORT of a Ray cluster's head, or 'auto'",
        ),
        (
            ["--address", "127.0.0.1:1"],
            "no Ray cluster answers at 127.0.0.1:1 (Connection",
        ),
        (
            ["--tracking-uri", "http://127.0.0.1:1"],
            "the tracking server http://127.0.0.1:1 cannot be used: Connection refused; start it",
        ),
        (["--encoder", "./no-such-folder"], "encoder folder './no-such-folder' does not exist"),
        (["--cpus-per-trial", "inf"], "cpus-per-trial must be above 0, got inf"),
        (["--gpus-per-trial", "inf"], "gpus-per-trial must be at least 0, got inf"),
        (
            ["--runs-dir", "~nosuchuser/r"],
            "--runs-dir ~nosuchuser/r: no home folder of that user is known; write the whole path",
        ),
        (["--dataset", "file", "--data", "~nosuchuser/d.csv"], "--data ~nosuchuser/d.csv: no home"),
        (["--encoder", "~nosuchuser/bert"], "--encoder ~nosuchuser/bert: no home folder"),
        (["--set", "encoder=~nosuchuser/bert"], "encoder ~nosuchuser/bert: no home folder"),
        (["--encoder", "e" * 300], f"--encoder {'e' * 300}: cannot be read (File name too long)"),
        (["--dataset", "file", "--data", f"{'d' * 300}.csv"], "cannot be read (File name too long"),
        (["--dataset", "reuters", "--data", "d" * 300], "cannot be read (File name too long"),
        (["--set", "max_length=600"], "setting 'max_length' must be at most 512, the"),
    ],
)
def test_bad_input(argv, message, refuse):
    assert message in refuse(*argv)


def test_a_name_that_exists(refuse, tmp_path):
    (tmp_path / "runs/mine").mkdir(parents=True)
    assert refuse("--name", "mine") == (
        f"search 'mine' exists in {tmp_path}/runs: continue it with "
        "`python -m search resume mine`, or choose another --name"
    )


def test_a_runs_folder_below_a_file(refuse, tmp_path):
    (tmp_path / "file").touch()
    message = refuse("--runs-dir", str(tmp_path / "file/runs"))
    assert f"{tmp_path}/file is not a folder" in message


def test_a_runs_folder_that_cannot_be_written(refuse, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "_read_only", lambda _: True)  # root may write anywhere else
    assert f"{tmp_path} cannot be written; choose another one" in refuse()


def test_a_runs_folder_that_refuses_after_all(refuse, monkeypatch):
    """/proc says it can be written, and cannot."""
    monkeypatch.setattr("search.preflight.check_tracking", lambda *_: None)
    monkeypatch.setattr("search.preflight.check_disk", lambda _: None)
    monkeypatch.setattr("search.run.read_data", lambda *_: SimpleNamespace(mu=0.9, encoded=ENCODED))
    assert refuse("--runs-dir", "/proc/runs").startswith("--runs-dir /proc/runs: cannot be written")


def test_a_runs_folder_with_too_long_a_name(refuse, tmp_path):
    place = tmp_path / ("r" * 300)
    message = f"--runs-dir {place}: cannot be written (File name too long); choose another folder"
    assert refuse("--runs-dir", str(place)) == message
    assert refuse("--runs-dir", str(place), "--name", "mine") == message


def test_a_runs_folder_behind_a_closed_one(refuse, tmp_path, monkeypatch):
    """As for a user who is not root."""
    real = Path.stat

    def stat(self, **options):
        if self.name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    message = refuse("--runs-dir", str(tmp_path / "closed"))
    assert message == (
        f"--runs-dir {tmp_path}/closed: cannot be written (Permission denied); "
        "choose another folder"
    )


def test_a_name_that_cannot_be_looked_for(tmp_path, capsys):
    assert main(["export", "x" * 300, "--runs-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: --runs-dir {tmp_path}: cannot be read (File name too long); "
        "choose another folder\n"
    )


def test_what_listens_but_is_no_cluster_is_told_before_anything_is_read(refuse):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        message = refuse("--address", address)
        thread.join()
    assert message.startswith(f"what listens at {address} is no Ray cluster: give the HOST:PORT")


def test_a_name_server_that_never_answers_costs_seconds(monkeypatch):
    monkeypatch.setattr(cluster_check, "DEADLINE_S", 0.2)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: time.sleep(3) or [])
    start = time.monotonic()
    with pytest.raises(UsageError, match=r"no Ray cluster answers at far:1 \(no answer in 0.2 s"):
        check_cluster("far:1")
    assert time.monotonic() - start < 2


def test_a_full_runs_folder(refuse, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100 * 2**20)
    monkeypatch.setattr("search.preflight.shutil.disk_usage", lambda _: usage)
    assert "the search may need 0.5 GiB and 0.1 GiB are free" in refuse()


@pytest.mark.parametrize(
    ("said", "copies"),
    [
        ({"checkpoint_every": 0}, 2 + 2),
        ({"checkpoint_every": 1}, 2 + 2 + 2 * 6),
        ({"checkpoint_every": 1, "tune": "head"}, 2 + 2),
        ({"checkpoint_every": 0, "confirm": 2}, 2 + 2 + 3),
    ],
)
def test_room_for_checkpoints_and_candidates_too(tmp_path, monkeypatch, said, copies):
    """A checkpoint is three times the weights, and twice that while one replaces another."""
    weights = 90 * 2**20
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "model.safetensors").write_bytes(b"")
    os.truncate(encoder / "model.safetensors", weights)  # sparse
    monkeypatch.setattr(preflight, "resolve_encoder", lambda _: encoder)
    monkeypatch.setattr(preflight, "check_max_length", lambda *_: None)
    request = RunRequest(dataset="demo", preset="cpu-full", runs_dir=str(tmp_path), **said)
    spec = resolve(request, HERE)
    assert spec.max_concurrent == 2
    needed = weights * copies + preflight._OWN_FILES_BYTES
    disk = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk._replace(free=needed))
    preflight.check_disk(spec)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk._replace(free=needed - 1))
    with pytest.raises(UsageError, match="the search may need"):
        preflight.check_disk(spec)


def test_first_points_that_no_trial_is_left_for():
    spec = resolve(RunRequest(dataset="demo", preset="smoke"), HERE)
    points = ({"gamma": 1.0}, {"gamma": 2.0}, {"gamma": 3.0})
    assert points_left_out(spec.replace(points=points, trials=4)) == []
    assert points_left_out(spec.replace(trials=1)) == []
    assert points_left_out(spec.replace(points=points, trials=3)) == [
        "3 first points were given, of which 3 trials try 2; --trials 4 tries all"
    ]


def test_a_disk_that_fills_up_while_the_folder_is_written(refuse, monkeypatch):
    monkeypatch.setattr(
        "search.run.read_data", lambda *_: SimpleNamespace(mu=0.9, description={}, encoded=ENCODED)
    )

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("search.run.write_json", full)
    assert "no space left; free some and resume" in refuse("--name", "a")


def test_data_that_cannot_be_used(refuse, tmp_path):
    message = refuse("--dataset", "file", "--data", str(tmp_path / "none.jsonl"))
    assert str(tmp_path / "none.jsonl") in message


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["resume", "x"], "no search 'x': RUNS holds none; see --runs-dir"),
        (["export", "x"], "no search 'x': RUNS holds none; see --runs-dir"),
    ],
)
def test_no_such_search(argv, message, tmp_path, capsys):
    assert main([*argv, "--runs-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {message.replace('RUNS', str(tmp_path))}\n"


def test_an_address_that_swallows_everything_costs_seconds(monkeypatch):
    monkeypatch.setattr(cluster_check, "DEADLINE_S", 0.2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        # fill the queue, so that a further connection is neither taken nor refused
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        start = time.monotonic()
        with pytest.raises(UsageError, match="no Ray cluster answers at"):
            check_cluster(f"127.0.0.1:{port}")
        assert time.monotonic() - start < 5
        for filler in fillers:
            filler.close()


def test_auto_needs_a_cluster_here(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cluster_check, "_CURRENT_CLUSTER", tmp_path / "none")
    with pytest.raises(UsageError, match="--address auto: no Ray cluster runs on this machine"):
        check_cluster("auto")


def test_warnings(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("learning_rate: {low: 1e-5, high: 5e-5}\n")

    def warned(**said) -> list[str]:
        request = RunRequest(loss="bce", preset="cpu-full", **said)
        return warnings_of(resolve(request, HERE, mu=0.9))

    assert warned() == []
    assert warned(epochs=1) == [
        "ASHA cannot stop any trial: no rung lies before the last epoch (--grace-period 1, "
        "--epochs 1); lower the grace period"
    ]
    assert warned(settings=("warmup_fraction=0.9",)) == [
        "ASHA cannot stop any trial: no rung lies before the last epoch (--grace-period 7, "
        "--epochs 6); warm up less"
    ]
    assert warned(settings=("warmup_fraction=0.4",)) == []
    assert warned(settings=("warmup_fraction=0.4",), grace_period=4) == []
    assert warned(settings=("warmup_fraction=0.4",), grace_period=3) == [
        "--grace-period 3 ends before the longest warm-up does: ASHA would judge trials by their "
        "warm-up; give 4 or more"
    ]
    assert warned(trials=2) == [
        "2 trials are too few for ASHA to choose among with --reduction-factor 2"
    ]
    assert warned(settings=("learning_rate=1e-5",)) == [
        "learning_rate fixed at another value than the paper's: trial 0 has 'starting values' "
        "instead of the paper's",
        "nothing is searched: every trial has the same settings",
    ]
    assert warned(settings=("learning_rate=1e-4",)) == [
        "nothing is searched: every trial has the same settings"
    ]
    assert warned(space=str(path)) == [
        "the range of 'learning_rate' leaves out the paper's value: trial 0 takes the nearest one"
    ]


def test_storage_errors(tmp_path):
    full = storage_error(OSError(errno.ENOSPC, "x"), tmp_path)
    assert str(full) == (
        f"--runs-dir {tmp_path}: no space left; free some and resume, or choose another folder"
    )
    denied = storage_error(OSError(errno.EACCES, "Permission denied"), tmp_path)
    assert str(denied) == (
        f"--runs-dir {tmp_path}: cannot be written (Permission denied); choose another folder"
    )


def test_an_objective_that_these_data_cannot_judge(tmp_path):
    spec = resolve(RunRequest(dataset="demo", objective="mean", runs_dir=str(tmp_path)), HERE)
    check_objective(spec, ("head", "tail"))
    with pytest.raises(UsageError) as caught:
        check_objective(spec, ("head", "medium"))
    assert str(caught.value) == (
        "--objective mean: these data have no tail labels to judge by: choose micro_f1 or macro_f1"
    )
