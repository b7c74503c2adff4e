"""`--restart N` and a saboteur: kill -9, a dead head, a hung trial, with a real Ray."""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import optuna
import psutil
import pytest

from search.console import Terminal
from search.journal import read_journal
from search.lock import owner
from search.show import describe_search
from search.stop import stop_trial
from search.supervisor import supervise
from tests.small_search import ROOT, make_folder, small_spec


@pytest.fixture
def scratch_root(monkeypatch):
    """Where searches put their scratch folders: short, or Ray's sockets do not fit."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as root:
        monkeypatch.setenv("TMPDIR", root)
        yield Path(root)


class Saboteur:
    """Follows the journal of a search of one trial at a time, and lets happen what can happen.

    Attempt 1: trial 0 is stopped by request, then kill -9. 2: the GCS is killed. 3: a trial hangs.
    """

    def __init__(self, spec):
        self.spec = spec
        self.left_behind = []
        """What lived after a driver's death: (process ids, folders)."""
        self.error = None
        self.thread = threading.Thread(target=self._run)

    def events(self, kind, **fields):
        events = read_journal(self.spec.folder / "journal.jsonl")
        return [e for e in events if e["event"] == kind and fields.items() <= e.items()]

    def _run(self):
        try:
            self._wait("epoch", trial=0)
            stop_trial(self.spec.folder, 0, Terminal())
            self._wait("epoch", trial=1)
            self.shown = describe_search(self.spec.folder)
            self._kill(lambda driver: driver)
            self._wait("epoch", trial=2)
            self._kill(self._gcs)
        except BaseException as error:
            self.error = error
            raise

    def _wait(self, kind, **fields):
        deadline = time.monotonic() + 120
        while not self.events(kind, **fields):
            assert time.monotonic() < deadline, (kind, fields)
            time.sleep(0.05)

    def _kill(self, choose):
        scratch = list(Path(os.environ["TMPDIR"]).iterdir())
        driver = psutil.Process(int(owner(self.spec.folder).split()[0]))
        family = driver.children(recursive=True)
        assert len(family) > 3
        assert len(scratch) == 1
        choose(driver).kill()
        # not the driver: that would take its exit status away from the supervisor
        _, alive = psutil.wait_procs(family, timeout=45)
        left = [path for path in scratch if path.exists()]
        self.left_behind.append(([p.pid for p in alive], left))

    @staticmethod
    def _gcs(driver):
        [gcs] = [p for p in driver.children() if p.name() == "gcs_server"]
        return gcs


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_search_survives_all_of_it(tmp_path, scratch_root, monkeypatch, capfd):
    """kill -9, a dead head, a hung trial: it ends with as many trials as an undisturbed one."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    spec = small_spec(
        tmp_path, trials=3, epochs=12, grace_period=12, max_concurrent=1, hang_timeout_s=12
    )
    # without a head trial 2 would go on, and end, before that is noticed
    acts = {"2": ["hang", 5], "3": ["hang", 2]}
    make_folder(spec, {"step_s": 0.4, "acts": acts, "quality": {"4": 0.9}})
    command = [sys.executable, str(ROOT / "tests/small_search.py"), str(tmp_path), spec.name]
    saboteur = Saboteur(spec)
    saboteur.thread.start()
    code = supervise(spec.folder, command, command, restarts=3, terminal=Terminal(), pause_s=1.0)
    saboteur.thread.join()
    if saboteur.error is not None:
        raise saboteur.error
    assert code == 0
    assert saboteur.left_behind == [([], []), ([], [])]
    assert list(scratch_root.iterdir()) == []
    assert [trial["trial"] for trial in saboteur.shown["running"]] == [1]

    hung = "nothing has moved for "
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert [line.rpartition("; ")[2] for line in told] == [
        f"restarting in 1 s ({number} of 3)" for number in (1, 2, 3)
    ]
    assert told[0].startswith("warning: the search was killed (SIGKILL)")
    assert "Ray's head process (gcs_server) is gone" in told[1]
    assert hung in told[2]
    ends = [(e["status"], e["reason"]) for e in saboteur.events("search_ended")]
    assert [status for status, _ in ends] == ["failed", "failed", "completed"]
    assert ends[1][1].startswith(hung)
    assert "trial 3 was running" in ends[1][1]

    # a trial that was interrupted is run again under the next number
    resumes = {e["trial"]: e.get("resumes") for e in saboteur.events("trial_started")}
    assert resumes == {0: None, 1: None, 2: 1, 3: 2, 4: 3, 5: None}
    finished = {e["trial"]: e["status"] for e in saboteur.events("trial_ended")}
    assert finished == {0: "stopped", 4: "completed", 5: "completed"}
    assert len(finished) == spec.trials
    [stopped] = saboteur.events("trial_ended", trial=0)
    epochs = saboteur.events("epoch", trial=0)
    assert 1 <= len(epochs) < 12
    assert stopped["reason"] == f"by `search stop` at epoch {len(epochs)}"
    storage = f"sqlite:///{spec.folder / 'study.db'}"
    trials = optuna.load_study(study_name=spec.name, storage=storage).trials
    assert [trial.state.name for trial in trials] == [
        *("PRUNED", "FAIL", "FAIL", "FAIL", "COMPLETE", "COMPLETE"),
    ]
    assert trials[4].params == trials[1].params
    assert [e["trial"] for e in saboteur.events("test_evaluated")] == [4]
