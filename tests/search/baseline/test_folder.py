"""The folder of a baseline: found by its data, replaced as a whole, never taken for a search."""

import dataclasses
import json

import pytest

from search.baseline.folder import find_baselines, folder_for, write_baseline
from search.baseline.scored import score_svm
from search.listing import list_searches
from tests.tiny import tiny_dataset
from trainable.errors import UserError
from trainable.predictions import Predictions

DATA = {"name": "my news", "fingerprint": "f" * 64}


@pytest.fixture(scope="module")
def scored():
    return score_svm(tiny_dataset())


def test_is_found_by_its_data(tmp_path, scored):
    folder = folder_for(tmp_path, "svm", DATA)
    assert folder.name == "baseline-svm-my-news"
    write_baseline(folder, scored, DATA, {"python": "3"})
    assert {path.name for path in folder.iterdir()} == {
        *("baseline.json", "test_report.json", "test_predictions.npz", "per_label.csv"),
    }
    [found] = find_baselines(tmp_path, DATA["fingerprint"])
    assert (found.folder, found.kind) == (folder, "svm")
    assert found.test["micro_f1"] == scored.report["micro_f1"]
    assert "per_label" not in found.test
    assert find_baselines(tmp_path, "other") == []
    assert list_searches(tmp_path) == []
    assert len(Predictions.load(folder / "test_predictions.npz").documents) == 20
    lines = (folder / "per_label.csv").read_text().splitlines()
    assert lines[0] == "label,group,train_count,support,threshold,precision,recall,f1"
    assert len(lines) == 6


def test_a_second_run_replaces_the_first(tmp_path, scored):
    folder = folder_for(tmp_path, "svm", DATA)
    write_baseline(folder, scored, DATA, {})
    assert folder_for(tmp_path, "svm", DATA) == folder
    without = dataclasses.replace(scored, shift=0.7, predictions=None)
    write_baseline(folder, without, DATA, {})
    [found] = find_baselines(tmp_path, DATA["fingerprint"])
    assert found.content["shift"] == 0.7
    assert not (folder / "test_predictions.npz").exists()


def test_other_data_of_the_same_name_have_a_folder_of_their_own(tmp_path, scored):
    write_baseline(folder_for(tmp_path, "svm", DATA), scored, DATA, {})
    other = {**DATA, "fingerprint": "abcdefgh12"}
    folder = folder_for(tmp_path, "svm", other)
    assert folder.name == "baseline-svm-my-news-abcdefgh"
    write_baseline(folder, scored, other, {})
    assert [len(find_baselines(tmp_path, data["fingerprint"])) for data in (DATA, other)] == [1, 1]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "longtail-search/baseline"}'])
def test_what_is_damaged_is_passed_over(tmp_path, scored, text):
    folder = folder_for(tmp_path, "svm", DATA)
    write_baseline(folder, scored, DATA, {})
    (folder / "baseline.json").write_text(text)
    assert find_baselines(tmp_path, DATA["fingerprint"]) == []


def test_without_its_parts_it_is_none(tmp_path, scored):
    folder = folder_for(tmp_path, "svm", DATA)
    content = write_baseline(folder, scored, DATA, {})
    for part in ("dataset", "test"):
        broken = {name: value for name, value in content.items() if name != part}
        (folder / "baseline.json").write_text(json.dumps(broken))
        assert find_baselines(tmp_path, DATA["fingerprint"]) == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, scored):
    (tmp_path / "baseline-svm-my-news").write_text("a file")
    with pytest.raises(UserError, match="the baseline cannot be written"):
        write_baseline(tmp_path / "baseline-svm-my-news", scored, DATA, {})
