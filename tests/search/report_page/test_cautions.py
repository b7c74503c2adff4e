"""Cautions: each one said when it applies, and not when it does not."""

import json

import pytest

from search.report_page.cautions import cautions
from search.results import load_search
from search.summary import summarize
from tests.confirmed_search import write_confirmed_search
from tests.many_trials import trial, write_trials
from tests.search_folder import EPOCHS
from tests.search_folder import test_report as report_of_test

MIDDLE = {"learning_rate": 1e-4, "gamma": 2.0}


def titles(folder):
    record = load_search(folder)
    return [caution.title for caution in cautions(record, summarize(record))]


def texts(folder):
    record = load_search(folder)
    return {c.title: c.text for c in cautions(record, summarize(record))}


def searched(tmp_path, best_params, *, others=0.5, best=0.8, **options):
    """Trial 0 in the middle, seven like it, and a best one with these settings."""
    params = [{"learning_rate": 1e-4, "gamma": 1.5 + 0.1 * n} for n in range(7)]
    trials = [trial([others], **MIDDLE), *(trial([others], **p) for p in params)]
    return write_trials(tmp_path / "mine", [*trials, trial([best], **best_params)], **options)


def test_a_plain_search_has_none(tmp_path):
    assert titles(searched(tmp_path, {"learning_rate": 2e-4, "gamma": 1.0})) == []


@pytest.mark.parametrize(
    ("params", "title"),
    [
        ({"learning_rate": 9e-4, "gamma": 1.0}, "The best learning_rate lies at the upper end"),
        ({"learning_rate": 1.1e-5, "gamma": 1.0}, "The best learning_rate lies at the lower end"),
        ({"learning_rate": 1e-4, "gamma": 3.9}, "The best gamma lies at the upper end"),
        ({"learning_rate": 1e-4, "gamma": 0.0}, "The best gamma lies at the lower end"),
    ],
)
def test_a_best_value_at_a_bound(tmp_path, params, title):
    [said] = titles(searched(tmp_path, params))
    assert said.startswith(title)


@pytest.mark.parametrize("rate", [5e-5, 7e-4])
def test_a_bound_is_measured_on_the_scale_of_the_range(tmp_path, rate):
    """5e-5 is within 4 per cent of the lower end, counted linearly, and a third of the decades."""
    assert titles(searched(tmp_path, {"learning_rate": rate, "gamma": 1.0})) == []


@pytest.mark.parametrize(
    ("objective", "behind", "said"),
    [("micro_f1", 0.003, True), ("micro_f1", 0.006, False), ("macro_f1", 0.006, True)],
)
def test_a_winner_within_noise_of_the_runner_up(tmp_path, objective, behind, said):
    runner_up = trial([0.8 - behind], learning_rate=1e-4, gamma=1.2)
    others = [trial([0.5], learning_rate=1e-4, gamma=1.3 + 0.1 * n) for n in range(7)]
    best = trial([0.8], learning_rate=1e-4, gamma=1.0)
    folder = write_trials(
        tmp_path / "mine", [*others, runner_up, best], config={"objective": objective}
    )
    assert ("The winner is within noise of the runner-up" in titles(folder)) is said


def test_the_same_settings_again_are_no_runner_up(tmp_path):
    others = [trial([0.5], learning_rate=1e-4, gamma=1.3 + 0.1 * n) for n in range(7)]
    twice = [trial([score], learning_rate=1e-4, gamma=1.0) for score in (0.8, 0.799)]
    assert titles(write_trials(tmp_path / "mine", [*others, *twice])) == []


def test_a_gain_within_noise(tmp_path):
    folder = searched(tmp_path, {"learning_rate": 2e-4, "gamma": 1.0}, best=0.502)
    assert "The gain is within noise" in titles(folder)
    assert "0.20 points" in texts(folder)["The gain is within noise"]


def test_a_gain_over_a_trial_that_was_stopped(tmp_path):
    rows = [trial([0.5], status="stopped", reason="below the top half at epoch 1", **MIDDLE)]
    folder = write_trials(
        tmp_path / "mine", [*rows, *(trial([0.8], gamma=0.2 * n) for n in range(8))]
    )
    said = texts(folder)["The gain is partly that of longer training"]
    assert said.startswith("It is measured against trial 0 stopped after 1 of ")


def test_a_confirmed_winner_is_judged_by_its_seeds(tmp_path):
    told = texts(write_confirmed_search(tmp_path / "mine"))
    text = told["The winner is within noise of the paper's values"]
    assert text.startswith("Over 3 seeds trial 2 is +")
    assert "The gain is within noise" not in told


def test_test_below_validation(tmp_path):
    folder = searched(tmp_path, {"learning_rate": 2e-4, "gamma": 1.0}, best=0.86)
    report = {**report_of_test(), "trial": 8, "epoch": 1}  # micro-F1 0.83
    (folder / "test_report.json").write_text(json.dumps(report))
    assert "(3.0 points)" in texts(folder)["Test is below validation"]
    report["micro_f1"] = 0.85
    (folder / "test_report.json").write_text(json.dumps(report))
    assert "Test is below validation" not in titles(folder)


def test_few_trials_and_broken_ones(tmp_path):
    trials = [trial([0.5], **MIDDLE)] * 3
    trials += [trial([], status="failed", **MIDDLE)] * 2
    assert {"Few trials", "Many trials broke down"} <= set(
        titles(write_trials(tmp_path / "m", trials))
    )


def test_an_interrupted_search(tmp_path):
    folder = searched(tmp_path, {"learning_rate": 2e-4, "gamma": 1.0}, ended="interrupted")
    assert titles(folder) == ["The search was interrupted"]


def test_what_the_data_cannot_show(tmp_path):
    folder = searched(tmp_path, {"learning_rate": 2e-4, "gamma": 1.0})
    rows = [
        {"label": "a", "train": 9, "val": 1, "test": 1},
        {"label": "b", "train": 1, "val": 0, "test": 1},
    ]
    dataset = {
        "fingerprint": "ab",
        "labels": rows,
        "duplicates": {"test_in_train": 7, "within_train": 3},
        "splits": {"train": {"word_pieces": {"share_cut": 0.25}}},
    }
    (folder / "dataset.json").write_text(json.dumps(dataset))
    assert titles(folder) == [
        "1 of 2 labels have no validation document",
        "7 test documents are in the training set, too",
        "25 % of the training documents are cut",
    ]


def test_rare_labels_that_pay(tmp_path):
    """Micro-F1 rises by two points while macro-F1 falls by as many."""
    folder = searched(tmp_path, {"learning_rate": 2e-4, "gamma": 1.0}, others=0.70, best=0.72)
    journal = folder / "journal.jsonl"
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    for row in rows:
        if row["event"] == "epoch" and row["trial"] == 8:
            row["metrics"]["val/macro_f1"] = 0.48  # trial 0 has 0.50
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert titles(folder) == ["Rare labels pay for the gain"]


def test_serious_ones_come_first(tmp_path):
    folder = searched(tmp_path, {"learning_rate": 2e-4, "gamma": 4.0})
    (folder / "dataset.json").write_text(json.dumps({"duplicates": {"test_in_val": 1}}))
    record = load_search(folder)
    serious = [caution.serious for caution in cautions(record, summarize(record))]
    assert serious == [True, False]
    assert EPOCHS > 1  # one epoch each: nobody was stopped while rising
