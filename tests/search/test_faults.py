"""Faults for real: the search ends with the trials of an undisturbed one, nothing that was recorded
is lost, and no process is left. Killed workers and lost memory: test_tuner and test_recovery.

The search has dummy trials, none of which ASHA stops: an undisturbed one completes them all.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from search.files import write_json
from search.journal import read_journal
from tests.small_search import ROOT, make_folder, small_spec
from tests.tiny import tiny_encoder
from tests.tracked import same_as_fresh
from tests.two_nodes import two_nodes
from tests.words import words_everywhere
from trainable.config import TrialConfig

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

TRIALS = 4
UNDISTURBED = dict.fromkeys(range(TRIALS), "completed")


@pytest.fixture
def scratch_root(monkeypatch):
    """Where searches put their scratch folders: short, or Ray's sockets do not fit."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as root:
        monkeypatch.setenv("TMPDIR", root)
        yield Path(root)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, of 260 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    mount = [*sudo, "mount", "-t", "tmpfs", "-o", "size=260m,mode=777", "tmpfs", str(disk)]
    if shutil.which(mount[0]) is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("this user may not mount a disk")
    yield disk
    subprocess.run([*sudo, "umount", "--lazy", str(disk)], check=True)


def search_of(runs_dir, encoder, *, step_s=0.2, **changes):
    """A search of four trials, two at once."""
    settings = {"encoder": str(tiny_encoder(encoder)), "max_length": 32}
    config = TrialConfig(loss="db", epochs=4, mu=0.5, **settings)
    values = {
        **{"config": config, "trials": TRIALS, "grace_period": 4, "cpus_per_trial": 0.5},
        "tracking_uri": f"sqlite:///{encoder.parent / 'mlflow.db'}",
    }
    spec = small_spec(runs_dir, **{**values, **changes})
    make_folder(spec, {"step_s": step_s})
    write_json(spec.folder / "dataset.json", {"name": "tiny", "fingerprint": "none"})
    return spec


@contextlib.contextmanager
def resume(spec, *mode):
    """The command in a process of its own; yields it, and kills it in the end."""
    child = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "small_search.py", spec.runs_dir, spec.name, *mode],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def finish(spec):
    """Resume to the end."""
    with resume(spec, "command") as child:
        output, _ = child.communicate(timeout=200)
    assert child.returncode == 0, output


def wait_for(spec, child, kind, trial, epoch=None, timeout_s=120):
    """The events once there is that one, and the processes of the search."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and child.poll() is None:
        events = read_journal(spec.folder / "journal.jsonl")
        if any(
            (e["event"], e.get("trial"), e.get("epoch")) == (kind, trial, epoch) for e in events
        ):
            return events, psutil.Process(child.pid).children(recursive=True)
        time.sleep(0.05)
    pytest.fail(f"no such event; the command said: {child.stdout.read()}")


def assert_gone(processes, timeout_s):
    _, there = psutil.wait_procs(processes, timeout=timeout_s)
    assert [process for process in there if process.status() != psutil.STATUS_ZOMBIE] == []


def assert_kept(spec, before):
    """Every event that was recorded before the fault is there after it."""
    assert read_journal(spec.folder / "journal.jsonl")[: len(before)] == before


def ends_of(words):
    """How many trials ended how."""
    return sorted(words.values())


@pytest.mark.usefixtures("scratch_root")
def test_a_driver_killed_in_mid_search(tmp_path, fresh_database):
    spec = search_of(tmp_path, tmp_path / "encoder")
    with resume(spec, "command") as child:
        before, family = wait_for(spec, child, "epoch", 2, 1)
        child.kill()
    finish(spec)
    assert_gone(family, 90)
    assert_kept(spec, before)
    same_as_fresh(spec.folder, spec.tracking_uri, "tiny", tmp_path, fresh_database)
    words = words_everywhere(spec)
    ended = [e["trial"] for e in before if e["event"] == "trial_ended"]
    assert ended  # the third trial takes the place of one that was over
    assert {words[number] for number in ended} == {"completed"}
    interrupted = ends_of(words).count("interrupted")
    assert interrupted in (1, 2)
    assert ends_of(words) == ["completed"] * TRIALS + ["interrupted"] * interrupted
    events = read_journal(spec.folder / "journal.jsonl")
    started = {e["trial"]: e for e in events if e["event"] == "trial_started"}
    again = [e for e in started.values() if e.get("resumes") in started]
    assert [e["params"] for e in again] == [started[e["resumes"]]["params"] for e in again]
    assert len(again) == interrupted


def fill(disk):
    """Use up what is free, to the last byte."""
    filler, size = disk / "filler", 2**26
    with filler.open("wb") as file:
        while size:
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
            except OSError:
                size //= 2
    return filler


def test_a_full_disk(tmp_path, small_disk, scratch_root):
    spec = search_of(small_disk, tmp_path / "encoder")
    with resume(spec, "command") as child:
        before, family = wait_for(spec, child, "epoch", 1, 2)
        filler = fill(small_disk)
        output, _ = child.communicate(timeout=120)
    assert child.returncode == 1, output
    assert "Traceback" not in output
    [error] = [line for line in output.splitlines() if line.startswith("error:")]
    assert "free space or check" in error
    assert error.endswith(f"then `python -m search resume {spec.name}`")
    assert_gone(family, 10)
    assert list(scratch_root.iterdir()) == []
    assert_kept(spec, before)
    filler.unlink()
    finish(spec)
    assert_kept(spec, before)
    words = words_everywhere(spec)
    assert [w for w in ends_of(words) if w != "interrupted"] == ["completed"] * TRIALS


@pytest.fixture
def cluster():
    with two_nodes() as found:
        yield found


def test_a_node_of_a_cluster_that_dies(tmp_path, cluster):
    """Both nodes have a trial; one goes down, and its trial starts again on the other."""
    machines, node = cluster
    # a node must not be between two trials when it goes down, nor the first trial over before
    where = {"address": machines.address, "cpus_per_trial": 1}
    spec = search_of(tmp_path, tmp_path / "encoder", step_s=2.0, **where)
    with resume(spec, "command") as child:
        wait_for(spec, child, "epoch", 0, 1)
        before, _ = wait_for(spec, child, "epoch", 1, 1)
        machines.remove_node(node, allow_graceful=False)
        output, _ = child.communicate(timeout=200)
    assert child.returncode == 0, output
    assert_kept(spec, before)
    events = read_journal(spec.folder / "journal.jsonl")
    [restarted] = [e["trial"] for e in events if e["event"] == "trial_restarted"]
    rows = [e["epoch"] for e in events if e["event"] == "epoch" and e["trial"] == restarted]
    assert rows[-4:] == [1, 2, 3, 4]
    assert len(rows) > 4
    assert words_everywhere(spec) == UNDISTURBED
    machines.shutdown()
    left = psutil.Process().children(recursive=True)
    assert [p for p in left if "ray" in " ".join(p.cmdline()) and p.is_running()] == []
