import contextlib
import http.server
import os
import re
import socket
import threading
import time

import pytest

from search.tracking import check_tracking
from tests.ports import free_port
from trainable.errors import UsageError


@contextlib.contextmanager
def web_server(status=200, content_type="application/json", seen=None):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if seen is not None:
                seen.append((self.path, dict(self.headers)))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def refusal(uri, runs_dir):
    began = time.monotonic()
    with pytest.raises(UsageError) as caught:
        check_tracking(uri, runs_dir)
    assert time.monotonic() - began < 10
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_default_store_needs_nothing_and_nothing_is_written(tmp_path):
    check_tracking(None, tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_answers_is_accepted(tmp_path):
    seen = []
    with web_server(seen=seen) as address:
        check_tracking(f"http://{address}/", tmp_path)
        check_tracking(f"http://ann:secret@{address}", tmp_path)
    assert seen[0][0] == "/api/2.0/mlflow/experiments/search?max_results=1"
    assert "Authorization" not in seen[0][1]
    assert seen[1][1]["Authorization"] == "Basic YW5uOnNlY3JldA=="


def test_nobody_listens(tmp_path):
    uri = f"http://ann:secret@127.0.0.1:{free_port()}"
    message = refusal(uri, tmp_path)
    assert re.fullmatch(
        r"the tracking server http://127.0.0.1:\d+ cannot be used: Connection refused; start it, "
        r"correct --tracking-uri, or leave the option out to record in the runs folder",
        message,
    )


def test_a_server_that_accepts_and_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("search.tracking.check._REQUEST_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in refusal(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path)


def test_a_name_look_up_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr("search.tracking.check._CHECK_TIMEOUT_S", 0.3)
    release = threading.Event()
    monkeypatch.setattr("search.tracking.check._ask", lambda _: release.wait(5) and [])
    assert "no answer in 0 s" in refusal("http://mlflow.example:5000", tmp_path)
    release.set()


@pytest.mark.parametrize(
    ("status", "content_type", "part"),
    [
        (401, "application/json", "it refuses us (HTTP 401); set MLFLOW_TRACKING_USERNAME and"),
        (404, "text/html", "something answers there that is not an MLflow server (HTTP 404)"),
        (200, "text/html", "something answers there that is not an MLflow server;"),
        (503, "text/html", "it answers with HTTP 503"),
    ],
)
def test_answers_of_other_kinds(tmp_path, status, content_type, part):
    with web_server(status, content_type) as address:
        assert part in refusal(f"http://{address}", tmp_path)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp://host/x", "must start with http://, https:// or sqlite:///, got 'ftp://host/x'"),
        ("postgresql://me:pw@h/d", "got 'postgresql://h/d': put an MLflow server before that"),
        ("/data/mlruns", "for a store in that folder say sqlite:////data/mlruns/mlflow.db"),
        ("file:///data/mlruns", "for a store in that folder say sqlite:////data/mlruns/mlflow.db"),
        ("http://", "tracking URI names no host: 'http://'"),
    ],
)
def test_addresses_that_are_none(tmp_path, uri, message):
    assert message in refusal(uri, tmp_path)


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "mlflow.db"
    path.write_text("a diary")
    message = refusal(None, tmp_path)
    assert message.startswith(f"the tracking store {path} is not an SQLite database: move the file")


def test_a_folder_in_the_place_of_the_database(tmp_path):
    (tmp_path / "mlflow.db").mkdir()
    assert "cannot be opened for writing: Is a directory" in refusal(None, tmp_path)


def test_a_runs_folder_below_a_file(tmp_path):
    (tmp_path / "runs").write_text("")
    assert "cannot be written" in refusal(None, tmp_path / "runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be written" in refusal(None, tmp_path)


def test_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    assert "needs at least 16 MiB of free space" in refusal(None, tmp_path)
