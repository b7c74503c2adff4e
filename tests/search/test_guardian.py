"""A driver that is killed leaves neither processes nor its folder; real processes, no Ray."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from search.guardian import guarded

ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
import subprocess, sys, time
from pathlib import Path
from search.guardian import guarded

scratch, processes = Path(sys.argv[1]), sys.argv[2] == "processes"
sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
with guarded(scratch, processes=processes), (scratch / "driver.log").open("w"):
    options = {"stdout": subprocess.DEVNULL, "start_new_session": True}
    named = subprocess.Popen([*sleeper, str(scratch / "socket")], **options)
    with (scratch / "worker.log").open("w") as log:
        titled = subprocess.Popen(sleeper, **{**options, "stdout": log})
    with (scratch / "worker.log").open() as log:
        reader = subprocess.Popen(sleeper, stdin=log, **options)
    print(named.pid, titled.pid, reader.pid, flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def driver(scratch, *, processes=True):
    """The driver, its guardian, two processes of the instance and a reader of its log."""
    scratch.mkdir()
    (scratch / "ray").mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(scratch), "processes" if processes else "folder"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = [int(pid) for pid in child.stdout.readline().split()]
    family = [psutil.Process(pid) for pid in pids]
    known = {child.pid, *pids}
    [guardian] = [p for p in psutil.Process(child.pid).children() if p.pid not in known]
    try:
        yield child, guardian, *family
    finally:
        for process in (*family, guardian):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        child.kill()
        child.communicate()


def gone(*processes):
    _, alive = psutil.wait_procs(processes, timeout=10)
    return [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_driver_that_is_killed_leaves_nothing(tmp_path, number):
    scratch = tmp_path / "lts-x"
    with driver(scratch) as (child, guardian, named, titled, reader):
        # a terminal, or a machine that goes down, signals whole groups: the guardian lives on
        os.killpg(child.pid, number)
        with contextlib.suppress(psutil.NoSuchProcess):
            guardian.send_signal(signal.SIGTERM)
        assert gone(named, titled, guardian)
        assert not scratch.exists()
        assert reader.is_running()  # it merely looks at a log


def test_after_a_clean_end_the_guardian_ends_too(tmp_path):
    scratch = tmp_path / "lts-x"
    with driver(scratch) as (child, guardian, named, titled, _):
        child.communicate("\n", timeout=20)
        assert child.returncode == 0  # it has a file open there, too
        assert gone(guardian, named, titled)
        assert not scratch.exists()


def test_on_a_given_cluster_only_the_folder_goes(tmp_path):
    scratch = tmp_path / "lts-x"
    with driver(scratch, processes=False) as (child, guardian, named, titled, _):
        child.kill()
        assert gone(guardian)
        assert not scratch.exists()
        assert named.is_running()
        assert titled.is_running()


def test_without_its_guardian_the_driver_goes_on(tmp_path):
    scratch = tmp_path / "lts-x"
    scratch.mkdir()
    others = set(psutil.Process().children())  # other tests' pools leave a tracker
    with guarded(scratch, processes=True):
        [guardian] = set(psutil.Process().children()) - others
        guardian.kill()
        guardian.wait(10)
    assert scratch.exists()


def test_the_guardian_is_small(tmp_path):
    """It stays beside every search: the standard library, and nothing of ours."""
    scratch = tmp_path / "lts-x"
    scratch.mkdir()
    others = set(psutil.Process().children())  # other tests' pools leave a tracker
    with guarded(scratch, processes=True):
        [guardian] = set(psutil.Process().children()) - others
        time.sleep(0.3)
        assert guardian.memory_info().rss < 40 * 2**20
        assert not any("site-packages" in m.path for m in guardian.memory_maps())
    assert not scratch.exists()
