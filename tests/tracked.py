"""What a tracking store holds, read back with MLflow's own client; and MLflow's own server, with
faults to order, in this process.
"""

import contextlib
import hashlib
import itertools
import json
import threading
import time
from pathlib import Path

import pytest

from search.tracking import sync
from search.tracking.store import connect
from tests.search_folder import FIRST_PART, append_events, events, test_report


def runs_of(client, experiment="demo"):
    """Run name -> run; a name that two runs share fails."""
    found = client.get_experiment_by_name(experiment)
    runs = list(client.search_runs([found.experiment_id], max_results=5000))
    by_name = {run.info.run_name: run for run in runs}
    assert len(by_name) == len(runs)
    return by_name


def content(client, experiment="demo", *, with_artifacts=False):
    """All that the store holds of the search, but for ids and what MLflow times itself."""
    rows = {}
    for name, run in runs_of(client, experiment).items():
        histories = {
            key: sorted(
                (m.step, m.timestamp, m.value)
                for m in client.get_metric_history(run.info.run_id, key)
            )
            for key in run.data.metrics
        }
        tags = {k: v for k, v in run.data.tags.items() if k != "mlflow.parentRunId"}
        if note := tags.get("mlflow.note.content"):  # links to its own page
            note = note.replace(f"experiments/{run.info.experiment_id}/", "experiments/ID/")
            tags["mlflow.note.content"] = note.replace(run.info.run_id, "RUN")
        times = (run.info.start_time, run.info.end_time)
        inputs = [d.dataset.digest for d in run.inputs.dataset_inputs]
        files = digests(client, run.info.run_id) if with_artifacts else {}
        rows[name] = (run.info.status, times, run.data.params, tags, histories, inputs, files)
    return rows


def artifacts(client, run_id, path=None):
    """The paths of all artifacts of a run."""
    names = []
    for entry in client.list_artifacts(run_id, path):
        names += artifacts(client, run_id, entry.path) if entry.is_dir else [entry.path]
    return names


def digests(client, run_id):
    """Artifact -> what is in it."""
    return {
        name: hashlib.sha256(Path(client.download_artifacts(run_id, name)).read_bytes()).hexdigest()
        for name in artifacts(client, run_id)
    }


def finish(folder):
    """What a search writes after its first part."""
    append_events(folder, events()[FIRST_PART:])
    (folder / "test_report.json").write_text(json.dumps(test_report()))


def same_as_fresh(folder, uri, experiment, tmp_path, fresh_database):
    """Whether the store holds what a replay of the same folder into an untouched one gives."""
    fresh = tmp_path / "fresh.db"
    fresh.write_bytes(fresh_database.read_bytes())
    sync(folder, tracking_uri=f"sqlite:///{fresh}")
    stores = (connect(uri), connect(f"sqlite:///{fresh}"))
    one, other = (content(client, experiment, with_artifacts=True) for client in stores)
    assert one == other
    return one


class FaultyServer:
    """The REST API of MLflow's server, with its real handlers; `fault` may answer in their place.

    Attributes:
        fault: called with the WSGI environment and start_response; None: no fault.
        requests: method and path of each request that was answered.
    """

    def __init__(self, app):
        self._app = app
        self.fault = None
        self.requests = []
        self.start(0)

    def start(self, port):
        """Serve, at once; port 0: any."""
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_):
                pass

        self._server = make_server(
            "127.0.0.1", port, self._answer, threaded=True, request_handler=Quiet
        )
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def stop(self):
        """Refuse connections from now on; returns the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        return self._server.server_port

    def _answer(self, environ, start_response):
        self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        fault = self.fault
        answer = None if fault is None else fault(environ, start_response)
        return self._app(environ, start_response) if answer is None else answer


def answers(status, body=b"", kind="text/plain", **headers):
    """A fault: every request is answered like that."""

    def fault(environ, start_response):
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(status, [("Content-Type", kind), *headers.items()])
        return [body]

    return fault


def sleeps(seconds, path="", times=None):
    """A fault: requests to addresses with `path` in them take so long, or the first `times`."""
    naps = itertools.repeat(seconds) if times is None else iter([seconds] * times)

    def fault(environ, _):
        if path in environ["PATH_INFO"]:
            time.sleep(next(naps, 0))

    return fault


@contextlib.contextmanager
def quickly():
    """Recording looks and retries at once, gives up soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.tracking.recording._LOOK_S", 0.05)
        patch.setattr("search.tracking.recording._RETRY_S", (0.1,))
        patch.setattr("search.tracking.recording._CLOSING_RETRY_S", 0.1)
        patch.setattr("search.tracking.recording._GIVE_UP_CLOSING_S", 0.6)
        yield


@contextlib.contextmanager
def recorded(recording):
    """`recording.run` in a thread; a list that has what it returned afterwards."""
    result = []
    thread = threading.Thread(target=lambda: result.append(recording.run()), daemon=True)
    thread.start()
    try:
        yield result
    finally:
        recording.close(20)
        thread.join(30)
        assert not thread.is_alive()


def until(condition, timeout_s=30):
    """Wait for it."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
