"""A real MLflow server, killed with -9 in mid-search and started again."""

import shutil
import socket
import time

import psutil
import pytest

from mlflow_server.processes import with_token
from mlflow_server.server import Server
from mlflow_server.settings import ServerSettings
from search.tracking.recording import Recording
from search.tracking.replay import Replay
from tests.search_folder import FIRST_PART, append_events, events, write_search_folder
from tests.tracked import recorded, same_as_fresh, until

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]


class Killable:
    """Our embedded server of a folder, always at the same port; killed without a word."""

    def __init__(self, home):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._settings = ServerSettings(runs_dir=home, port=probe.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self._settings.port}"
        self._server = None

    def start(self):
        self._server = Server(self._settings)
        self._server.start()
        assert self._server.wait_until_healthy(stopping=lambda: False)

    def kill(self):
        """All of it: a parent alone would leave a server that goes on."""
        family = [psutil.Process(pid) for pid in with_token(self._server.token)]
        for process in family:
            process.kill()
        self._server.stop()  # only reaps it
        assert psutil.wait_procs(family, 10)[1] == []


@pytest.fixture
def real_server(tmp_path, fresh_database):
    home = tmp_path / "server"
    home.mkdir()
    shutil.copyfile(fresh_database, home / "mlflow.db")
    server = Killable(home)
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
