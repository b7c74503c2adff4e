"""A baseline in a real MLflow store: one run, told again without a second one."""

import dataclasses

import pytest

from search.baseline.folder import write_baseline
from search.baseline.scored import score_svm
from search.tracking.baseline import log_baseline
from search.tracking.store import connect
from tests.tiny import tiny_dataset

DATA = {"name": "tiny", "source": "synthetic", "fingerprint": "f" * 64, "train": 60}
VERSIONS = {"python": "3.11.1", "packages": {"scikit-learn": "1.9.1"}, "cpu": "one"}


def runs_of(client):
    experiment = client.get_experiment_by_name("tiny")
    return client.search_runs([experiment.experiment_id])


@pytest.fixture(scope="module")
def scored():
    return score_svm(tiny_dataset())


def test_one_run_in_the_experiment_of_its_data(runs_dir, scored):
    uri = f"sqlite:///{runs_dir / 'mlflow.db'}"
    folder = runs_dir / "baseline-svm-tiny"
    write_baseline(folder, scored, DATA, VERSIONS)
    first = log_baseline(folder, uri)
    client = connect(uri)
    [run] = runs_of(client)
    assert run.info.run_id == first
    assert (run.info.run_name, run.info.status) == ("baseline-svm-tiny", "FINISHED")
    assert run.data.tags["hpo.role"] == "baseline"
    assert run.data.tags["version.scikit-learn"] == "1.9.1"
    assert run.data.params["C"] == "1.0"
    assert run.data.metrics["test/micro_f1"] == pytest.approx(scored.report["micro_f1"])
    assert run.data.metrics["test/tail/macro_f1"] == scored.report["tail"]["macro_f1"]
    assert run.data.metrics["test/micro_precision"] == scored.report["micro_precision"]
    assert run.data.metrics["val/micro_f1"] == scored.validation["micro_f1"]
    assert run.inputs.dataset_inputs[0].dataset.digest == "f" * 12
    names = {item.path for item in client.list_artifacts(first)}
    assert names == {"baseline.json", "test_report.json", "per_label.csv"}

    changed = {**scored.report, "micro_f1": 0.123}
    again = dataclasses.replace(scored, report=changed, shift=0.9)
    write_baseline(folder, again, DATA, {**VERSIONS, "cpu": "two"})
    assert log_baseline(folder, uri) == first
    [run] = runs_of(client)
    assert run.data.metrics["test/micro_f1"] == 0.123
    assert (run.data.metrics["shift"], run.data.tags["machine.cpu"]) == (0.9, "two")

    other = {**DATA, "fingerprint": "e" * 64}
    write_baseline(runs_dir / "baseline-svm-tiny-eeeeeeee", scored, other, VERSIONS)
    assert log_baseline(runs_dir / "baseline-svm-tiny-eeeeeeee", uri) != first
    assert len(runs_of(client)) == 2
