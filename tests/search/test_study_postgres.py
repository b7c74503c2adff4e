"""The study in a real PostgreSQL, on loopback, in a temporary folder."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from optuna.trial import TrialState

from search.outcome import Outcome
from search.record_errors import storage_told
from search.study import SearchStudy
from spaces import space_for
from tests.small_search import small_spec
from trainable.errors import UsageError

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]


def programs():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return found[-1].parent if found else pytest.skip("needs PostgreSQL: make servers")


@pytest.fixture(scope="module")
def database():
    """Address of an empty database, with a user and a password."""
    bin_folder = programs()
    # not below pytest's own folder, into which PostgreSQL's user may not look
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield from served(bin_folder, Path(name))


def served(bin_folder, home):
    home.chmod(0o755)
    as_user = []
    if os.getuid() == 0:  # PostgreSQL refuses root
        shutil.chown(home, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password = home / "password"
    password.write_text("pw-of-a-test")
    password.chmod(0o644)

    def run(program, *arguments):
        command = [*as_user, bin_folder / program, *arguments]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    data = home / "data"
    run("initdb", "-D", data, "-U", "ann", "-A", "scram-sha-256", f"--pwfile={password}", "-N")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories="
    run("pg_ctl", "-D", data, "-w", "-l", home / "log", "-o", options, "start")
    yield f"postgresql+psycopg://ann:pw-of-a-test@127.0.0.1:{port}/postgres"
    run("pg_ctl", "-D", data, "-m", "immediate", "stop")


def test_a_study_in_postgresql(database, tmp_path):
    space = space_for("db", mu=0.5)

    def study():
        return SearchStudy(tmp_path, name="team", space=space, seed=0, storage=database)

    first = study()
    first.open(space.paper_point(), new=True)
    first.ask("a")
    first.report("a", 1, 0.5)
    first.finish("a", Outcome("stopped", "below the top half at epoch 1"))
    second = first.ask("b").params
    first.close()  # the driver is gone; another machine goes on
    again = study()
    again.open(space.paper_point())
    assert again.ask("c").params == second
    states = [trial.state for trial in again.trials]
    assert states == [TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]
    again.close()


def test_a_wrong_password_is_one_line_without_it(database, tmp_path):
    spec = small_spec(tmp_path, storage=database.replace("pw-of-a-test", "secret"))
    study = SearchStudy(tmp_path, name="x", space=spec.space, seed=0, storage=spec.storage)
    with pytest.raises(UsageError) as caught, storage_told(spec):
        study.open(new=True)
    message = str(caught.value)
    assert message.startswith("--storage postgresql+psycopg://127.0.0.1:")
    assert "cannot be used for the study" in message
    assert "check the address and the password" in message
    assert "secret" not in message
    assert "\n" not in message
