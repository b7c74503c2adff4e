"""A real MLflow server, killed with -9 in mid-search and started again."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from search.tracking.recording import Recording
from search.tracking.replay import Replay
from tests.search_folder import FIRST_PART, append_events, events, write_search_folder
from tests.tracked import recorded, same_as_fresh, until

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]
START_S = 100


class Server:
    """`mlflow server`, as small as it gets, always at the same port."""

    def __init__(self, home):
        self._home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process = None

    def start(self):
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host"]
        options = ["127.0.0.1", "--port", str(self._port), "--artifacts-destination"]
        lean = {
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{self._home / 'mlflow.db'}",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self._process = subprocess.Popen(
            [*command, *options, str(self._home / "artifacts")],
            env={**os.environ, **lean},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(self._answers, START_S)

    def kill(self):
        """The whole group: the parent alone would leave a server that goes on."""
        family = psutil.Process(self._process.pid).children(recursive=True)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        psutil.wait_procs(family, 10)

    def _answers(self):
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=2).close()
        except OSError:
            return False
        return True


@pytest.fixture
def real_server(tmp_path, fresh_database):
    home = tmp_path / "server"
    home.mkdir()
    shutil.copyfile(fresh_database, home / "mlflow.db")
    server = Server(home)
    server.start()
    yield server
    server.kill()


@pytest.mark.usefixtures("quick")
def test_the_store_is_that_of_an_undisturbed_search(real_server, tmp_path, fresh_database):
    folder = write_search_folder(tmp_path / "demo-db", whole=False)
    rows = events()[FIRST_PART:]
    states = []
    with recorded(Recording(Replay(folder, real_server.uri), states.append)) as sent:
        until(lambda: states)
        for number, row in enumerate(rows):
            append_events(folder, [row])
            time.sleep(0.08)
            if number == len(rows) // 2:
                real_server.kill()
        until(lambda: len(states) == 2)
        real_server.start()
        until(lambda: len(states) == 3)
    assert sent == [True]
    assert [bool(state.problem) for state in states] == [False, True, False]
    same_as_fresh(folder, real_server.uri, "demo", tmp_path, fresh_database)
