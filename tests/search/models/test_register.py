"""`python -m search register`: every mistake is one line, before anything is written."""

import pytest

from search.cli import main
from search.models.register import serve_command


def refused(capsys, *arguments, code=2):
    assert main(["register", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err.removeprefix("error: ").rstrip("\n")


def test_no_model(tmp_path, capsys):
    runs = tmp_path / "runs"
    found = refused(capsys, tmp_path / "no", "--runs-dir", runs)
    assert found.startswith(f"model folder '{tmp_path}/no' does not exist: give one that `python")
    found = refused(capsys, tmp_path, "--runs-dir", runs)
    assert found.endswith("it has no config.json")
    assert not runs.exists()


@pytest.mark.parametrize("name", ["a/b", "a:b", "", "a'b", "x" * 251])
def test_a_name_that_the_registry_does_not_take(tmp_path, capsys, name):
    found = refused(capsys, tmp_path, "--name", name)
    assert found == f"--name takes letters, digits, '.', '-', '_' and spaces, got '{name}'"


def test_a_store_that_cannot_be_used(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LONGTAIL_TRACKING_URI", "postgresql://u:secret@h/db")
    found = refused(capsys, tmp_path)
    assert found.startswith("tracking URI must start with http://, https:// or sqlite:///, got")
    assert "secret" not in found


def test_a_store_that_fails_on_the_way(tmp_path, capsys, monkeypatch):
    def fail(*_args):
        raise RuntimeError("no\nspace at http://me:secret@host")

    monkeypatch.setattr("search.models.facts.ModelFacts.read", lambda _: None)
    monkeypatch.setattr("search.tracking.models.register_model", fail)
    found = refused(capsys, tmp_path, "--name", "n", "--runs-dir", tmp_path, code=1)
    assert found.startswith(f"MLflow: sqlite:///{tmp_path}/mlflow.db did not take the model: no sp")
    assert found.endswith("; register it again")


def test_the_command_can_be_pasted():
    command = serve_command("sqlite:////a b/mlflow.db", "my model", "3")
    assert command == (
        "MLFLOW_TRACKING_URI='sqlite:////a b/mlflow.db' mlflow models serve -m 'models:/my model/3'"
        " --env-manager local --host 127.0.0.1 --port 5001"
    )
    assert "secret" not in serve_command("http://me:secret@host", "m", "1")
