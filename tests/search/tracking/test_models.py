"""A trained folder in a real registry: what is recorded, once, and that it answers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from search.cli import main
from search.models.facts import ModelFacts, requirements
from search.tracking.check import default_tracking_uri
from search.tracking.models import register_model
from search.tracking.store import connect, experiment_id
from tests.ports import free_port
from tests.trained_folder import HEAD, train_folder
from trainable.choice import Choice
from trainable.inference import Predictor

pytestmark = [  # of mlflow's own code
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return train_folder(tmp_path_factory.mktemp("head"), **HEAD)


@pytest.fixture(scope="module")
def registered(made, tmp_path_factory, fresh_database):
    """A runs folder with the run of the search `tiny`, and the model registered by the command."""
    runs = tmp_path_factory.mktemp("runs")
    shutil.copyfile(fresh_database, runs / "mlflow.db")
    uri = default_tracking_uri(runs)
    client = connect(uri)
    tags = {"hpo.role": "search", "hpo.search_id": "tiny-0123456789"}
    client.create_run(experiment_id(client, uri, "words"), tags=tags, run_name="tiny")
    assert main(["register", str(made.folder), "--runs-dir", str(runs)]) == 0
    return runs


@pytest.fixture
def client(registered):
    return connect(default_tracking_uri(registered))


@pytest.fixture
def version(client):
    return client.get_model_version("longtail-words-db", "1")


def model_of(version) -> str:
    """The id of the LoggedModel; a SQL registry keeps it in the source alone."""
    return version.source.removeprefix("models:/")


@pytest.fixture
def files(client, version) -> Path:
    where = client.get_model_version_download_uri(version.name, version.version)
    return Path(where.removeprefix("file://"))


def test_the_version_says_where_it_comes_from(made, client, version):
    report = made.report
    micro, macro = (f"{100 * report[name]:.2f}" for name in ("micro_f1", "macro_f1"))
    assert version.description == (
        f"db on words, 5 labels. Test micro-F1 {micro}, macro-F1 {macro} per cent. Configuration "
        "chosen by the search tiny."
    )
    assert version.tags["hpo.of_search_id"] == "tiny-0123456789"
    assert (version.tags["hpo.search"], version.tags["hpo.search_trial"]) == ("tiny", "3")
    run = client.get_run(version.run_id)
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.info.run_name == "tiny"
    assert parent.info.status == "RUNNING"  # the search's run was not touched
    assert run.info.status == "FINISHED"
    assert "hpo.search_id" not in run.data.tags  # it is none of the search's trials
    assert run.outputs.model_outputs[0].model_id == model_of(version)


def test_the_models_page_has_settings_threshold_and_scores(made, client, version):
    logged = client.get_logged_model(model_of(version))
    assert (logged.status, logged.model_type) == ("READY", "text-classification")
    assert logged.params["threshold"] == "0.3"
    assert logged.params["head_hidden"] == "24"
    assert "data_path" not in logged.params
    scores = {metric.key: metric for metric in logged.metrics}
    assert scores["test/micro_f1"].value == made.report["micro_f1"]
    assert scores["test/tail/micro_f1"].value == made.report["tail"]["micro_f1"]
    assert scores["test/micro_f1"].dataset_name == "words"
    versions = json.loads(logged.tags["mlflow.modelVersions"])
    assert {"name": "longtail-words-db", "version": int(version.version)} in versions


def test_what_is_stored(made, files):
    about = yaml.safe_load((files / "MLmodel").read_text())
    signature = {key: json.loads(text) for key, text in about["signature"].items()}
    assert [column["name"] for column in signature["inputs"]] == ["text"]
    assert [column["name"] for column in signature["outputs"]] == ["predicted", "probabilities"]
    assert [param["name"] for param in signature["params"]] == ["threshold", "top"]
    assert about["metadata"]["threshold"] == 0.3
    assert about["metadata"]["labels"] == ["big", "good", "mean", "rare", "seldom"]
    assert about["metadata"]["search"] == {"name": "tiny", "trial": 3}
    assert (files / "requirements.txt").read_text().split() == requirements()
    assert json.loads((files / "input_example.json").read_text())["columns"] == ["text"]
    names = {path.suffix for path in files.rglob("*") if path.is_file()}
    assert not names & {".pkl", ".pickle", ".bin", ".pt", ".pyc"}
    everything = (files / "MLmodel").read_text()
    assert str(made.folder) not in everything  # no paths of this machine
    assert str(Path.cwd()) not in everything


def test_once_is_enough(made, registered, client, capsys):
    assert main(["register", str(made.folder), "--runs-dir", str(registered)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "registered before, nothing was added: longtail-words-db, version 1"
    assert out[1].endswith("--env-manager local --host 127.0.0.1 --port 5001")
    assert out[2].startswith("MLflow   python -m mlflow_server --runs-dir ")
    page = "http://127.0.0.1:5000/#/models/longtail-words-db/versions/1"
    assert out[3] == f"MLflow   {page}?workflowType=machine_learning"
    assert len(client.search_model_versions("name = 'longtail-words-db'")) == 1


def test_another_name_shares_the_files_and_another_folder_is_another_version(
    made, registered, client, version, tmp_path
):
    uri = default_tracking_uri(registered)
    other = register_model(ModelFacts.read(made.folder), uri, "mine")
    assert (other.number, other.new, other.linked) == ("1", True, True)
    assert model_of(client.get_model_version("mine", "1")) == model_of(version)
    folder = shutil.copytree(made.folder, tmp_path / "model")
    (folder / "README.md").write_text("# another\n")
    other = register_model(ModelFacts.read(folder), uri, "mine")
    assert (other.number, other.new) == ("2", True)
    assert model_of(client.get_model_version("mine", "2")) != model_of(version)


def test_what_fails_is_marked_and_can_be_tried_again(made, runs_dir, monkeypatch):
    uri = default_tracking_uri(runs_dir)
    client = connect(uri)

    def full(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.log_model_artifacts", full)
        with pytest.raises(OSError, match="No space"):
            register_model(ModelFacts.read(made.folder), uri, "mine")
    experiment = experiment_id(client, uri, "words")
    [run] = client.search_runs([experiment])
    assert run.info.status == "FAILED"
    [logged] = client.search_logged_models([experiment])
    assert logged.status == "FAILED"
    done = register_model(ModelFacts.read(made.folder), uri, "mine")
    assert (done.number, done.new, done.linked) == ("1", True, False)  # no such search there


LOAD = """
import json, pickle, sys
import mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
import pandas as pd, trainable.inference
texts = json.loads(sys.stdin.read())
table = model.predict(pd.DataFrame({"text": texts}), params={"top": 2})
print(json.dumps([trainable.inference.__file__, "ray" in sys.modules, table.predicted.tolist()]))
"""


def expected(made, choice=None):
    predictor = Predictor.load(made.folder)
    probs = predictor.probabilities(made.texts)
    found = predictor.labels(probs) if choice is None else predictor.labels(probs, choice)
    return [[name for name, _ in labels] for labels in found]


def test_it_loads_by_itself_and_without_pickle(made, files, tmp_path):
    copy = shutil.copytree(files, tmp_path / "copy")
    environment = os.environ | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(copy)],
        input=json.dumps(made.texts),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    code, ray, found = json.loads(done.stdout.splitlines()[-1])
    assert Path(code) == copy / "code" / "trainable" / "inference.py"
    assert not ray
    assert found == expected(made, Choice(top=2))


@pytest.fixture(scope="module")
def address(registered):
    """`mlflow models serve` as the command prints it, on a free port and without pickle."""
    port = free_port()
    environment = os.environ | {
        # it starts `uvicorn`, which lies beside `mlflow`
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": default_tracking_uri(registered),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    command = ["models", "serve", "-m", "models:/longtail-words-db/1", "--env-manager", "local"]
    log = registered / "serve.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=registered,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/ping", server, log)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def _wait_for(url, server, log):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server did not answer")


def ask(address, body):
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["predictions"]


@pytest.mark.server
@pytest.mark.timeout(180)
def test_mlflow_serves_the_same_answers(made, address):
    rows = ask(address, {"dataframe_records": [{"text": text} for text in made.texts]})
    assert [row["predicted"] for row in rows] == expected(made)
    for row in rows:
        assert row["probabilities"] == sorted(row["probabilities"], reverse=True)
    [row] = ask(address, {"inputs": {"text": ["w1"]}, "params": {"top": 3}})
    assert len(row["predicted"]) == 3
    [row] = ask(address, {"inputs": {"text": ["w1"]}, "params": {"threshold": 0.999999}})
    assert row["predicted"] == []


@pytest.mark.server
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": {"text": ["a"]}, "params": {"threshold": 2}}, "threshold must lie in (0, 1)"),
        ({"dataframe_records": [{"text": None}]}, "'text' must be text in every row"),
        ({"dataframe_records": [{"body": "a"}]}, "missing inputs ['text']"),
    ],
)
def test_a_wrong_request_is_answered_with_400(address, body, message):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(address, body)
    assert caught.value.code == 400
    assert message in json.loads(caught.value.read())["message"]
