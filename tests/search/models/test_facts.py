"""What is told of a model folder: read from the folder alone."""

import json
import re
import shutil
from importlib.metadata import version

import pytest

from search.models.facts import REQUIRED, ModelFacts, folder_digest, requirements
from tests.trained_folder import train_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return train_folder(tmp_path_factory.mktemp("all"))


def test_a_folder(made):
    facts = ModelFacts.read(made.folder)
    assert (facts.dataset, facts.default_name) == ("words", "longtail-words-db")
    assert (facts.search, facts.threshold) == ("tiny", 0.3)
    assert facts.data_digest == made.result.dataset.fingerprint[:12]
    report = made.report
    assert facts.scores["test/micro_f1"] == report["micro_f1"]
    assert facts.scores["test/tail/macro_f1"] == report["tail"]["macro_f1"]
    assert "test/threshold_curve/micro_f1" not in facts.scores
    assert all(isinstance(value, float) for value in facts.scores.values())


def test_a_threshold_of_each_label_is_told_by_name(made, tmp_path):
    folder = shutil.copytree(made.folder, tmp_path / "model")
    path = folder / "config.json"
    thresholds = [0.1, 0.2, 0.3, 0.4, 0.5]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"thresholds": thresholds}))
    named = {"big": 0.1, "good": 0.2, "mean": 0.3, "rare": 0.4, "seldom": 0.5}
    assert ModelFacts.read(folder).threshold == named


def test_a_folder_without_report_and_of_an_older_program(made, tmp_path):
    folder = shutil.copytree(made.folder, tmp_path / "model")
    (folder / "test_report.json").unlink()
    path = folder / "config.json"
    config = json.loads(path.read_text())
    del config["dataset"]
    path.write_text(json.dumps(config))
    facts = ModelFacts.read(folder)
    assert (facts.scores, facts.dataset) == ({}, "file")


def test_the_digest_is_of_names_and_contents_alone(tmp_path):
    def folder(name, **files):
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder_digest(tmp_path / name)

    first = folder("1", a="x", b="y")
    assert folder("2", b="y", a="x") == first
    assert folder("2", **{"__pycache__/a": "z"}) == first
    others = [folder("3", a="x", b="z"), folder("4", a="x", c="y"), folder("5", a="x")]
    assert len({first, *others}) == 4


def test_requirements_are_pinned_and_have_no_build():
    pins = requirements()
    assert [re.fullmatch(r"([\w-]+)==[\d.]+", pin)[1] for pin in pins] == list(REQUIRED)
    assert f"mlflow=={version('mlflow')}" in pins
