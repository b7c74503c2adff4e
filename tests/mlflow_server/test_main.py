"""`python -m mlflow_server`: what it refuses, and the one process that it looks after."""

import ast
import errno
import fcntl
import os
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from mlflow_server import bare
from mlflow_server import server as server_module
from mlflow_server.__main__ import main
from mlflow_server.server import Server, ServerError
from mlflow_server.settings import ServerSettings
from mlflow_server.store import Store
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


def refused(capsys, *arguments):
    """Exit code and message of a command that must not start anything."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return code, err


def test_a_taken_port_is_named_and_another_is_offered(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, message = refused(capsys, "--port", port, "--runs-dir", tmp_path)
    assert code == 1
    assert message == (
        f"error: port {port} on 127.0.0.1 cannot be used (Address already in use): stop what "
        f"listens there, or choose another with --port, such as --port {port + 1}\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_out_of_range(port, tmp_path, capsys):
    code, message = refused(capsys, "--port", port, "--runs-dir", tmp_path)
    assert (code, message) == (2, f"error: --port must lie in 1..65535, got {port}\n")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "mlflow.example", "::"])
def test_no_login_no_network(host, tmp_path, capsys):
    code, message = refused(capsys, "--host", host, "--runs-dir", tmp_path)
    assert code == 2
    assert f"must be of this machine (127.0.0.1, ::1 or localhost), got '{host}'" in message


def test_a_runs_folder_that_cannot_be(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    runs = tmp_path / "file" / "runs"
    code, message = refused(capsys, "--port", free_port(), "--runs-dir", runs)
    assert code == 2
    assert message == (
        f"error: the runs folder {runs} cannot be written: Not a directory; "
        "choose another --runs-dir\n"
    )


def test_a_runs_folder_that_no_address_can_name(tmp_path, capsys):
    code, message = refused(capsys, "--port", free_port(), "--runs-dir", tmp_path / "why?")
    assert code == 2
    assert (
        "why? must not have a '?' in its path: rename it, or choose another --runs-dir" in message
    )
    assert list(tmp_path.iterdir()) == []


def test_a_runs_folder_on_a_file_system_without_locks(tmp_path, capsys, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    code, message = refused(capsys, "--port", free_port(), "--runs-dir", tmp_path)
    assert code == 2
    assert f"the runs folder {tmp_path} cannot be locked: No locks available; choose" in message


def test_a_database_that_is_none(tmp_path, capsys):
    (tmp_path / "mlflow.db").write_text("a diary of more than sixteen characters")
    code, message = refused(capsys, "--port", free_port(), "--runs-dir", tmp_path)
    assert code == 2
    assert message == (
        f"error: the database {tmp_path / 'mlflow.db'} is damaged (file is not a database): "
        "restore a backup with `python -m mlflow_server restore FILE --replace`, or move it away "
        "to begin a new one\n"
    )


def test_a_server_that_dies_at_once_is_quoted(tmp_path, monkeypatch):
    words = "import sys; print('no such table'); sys.exit(3)"
    monkeypatch.setattr(bare, "is_possible", lambda *_: False)
    monkeypatch.setattr(server_module, "command", lambda _: [sys.executable, "-c", words])
    server = Server(ServerSettings(runs_dir=tmp_path, port=free_port()))
    server.start()
    with pytest.raises(ServerError, match=r"ended at once; .*\.log ends with: no such"):
        server.wait_until_healthy(stopping=lambda: False)
    server.stop()


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path, monkeypatch):
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "open('ready', 'w').close(); time.sleep(60)"
    )
    monkeypatch.setattr(bare, "is_possible", lambda *_: False)
    monkeypatch.setattr(server_module, "command", lambda _: [sys.executable, "-c", stubborn])
    monkeypatch.setattr(server_module, "STOP_TIMEOUT_S", 0.2)
    server = Server(ServerSettings(runs_dir=tmp_path, port=free_port()))
    server.start()
    wait_for(lambda: (tmp_path / "ready").exists())
    family = psutil.Process(server._process.pid).children(recursive=True)
    assert len(family) == 1
    server.stop()
    wait_for(lambda: not any(alive(process) for process in family))


def test_the_same_file_names_as_the_tracker():
    from search.tracking import check

    store = Store(Path("/runs"))
    assert store.uri == check.default_tracking_uri(Path("/runs"))
    assert store.artifacts == Path("/runs") / check.ARTIFACTS_NAME


def test_imports_nothing_of_ours_and_no_mlflow():
    for path in (ROOT / "mlflow_server").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            top = {name.split(".")[0] for name in names}
            assert top.isdisjoint({"mlflow", "search", "spaces", "trainable"}), path


def alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait_for(condition, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "x"], "--port: invalid int value: 'x'"),
        (["--prot", "5000"], "unrecognized arguments: --prot 5000"),
    ],
)
def test_wrong_use_is_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == (f"error: {message}; see `python -m mlflow_server --help`\n")
