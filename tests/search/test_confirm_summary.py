"""A confirmed search as it is summed up, shown and exported."""

import csv
import io
import json
import statistics

import pytest
from rich.console import Console

from search.confirm_table import confirmation_notes, confirmation_table
from search.export import best_config
from search.results import load_search
from search.summary import write_summary
from search.tables import counts_line, score_notes, start_words
from tests.confirmed_search import SCORES, plan, run, timed, whole, write_confirmed_search
from tests.search_folder import objective, write_search_folder


def text_of(renderable):
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    console.print(renderable)
    return console.export_text()


def summed_up(folder, rows=None):
    record = load_search(write_confirmed_search(folder, rows))
    return record, write_summary(record)


def notes_of(record, summary):
    return confirmation_notes(summary["confirmation"], start_words(record))


def test_the_summary(tmp_path):
    record, summary = summed_up(tmp_path / "s")
    assert json.loads((record.folder / "summary.json").read_text()) == summary
    found = summary["confirmation"]
    assert (found["seeds"], found["compared"]) == ([1, 2, 3], [1, 2, 3])
    assert (found["runs"], found["ended"], found["epochs"]) == (6, 6, 24)
    assert (found["winner"], found["runner_up"], found["decided"]) == (2, 0, True)
    ours, theirs = found["candidates"]
    assert (ours["trial"], ours["n"], ours["paper_values"]) == (2, 3, False)
    assert ours["mean"] == statistics.fmean([0.80, 0.83, 0.82])
    assert ours["search_objective"] == objective(2, 4)
    assert ours["objectives"] == {"1": 0.80, "2": 0.83, "3": 0.82}
    assert theirs["paper_values"]
    gain = found["against_paper_values"]
    assert gain == found["against_runner_up"]
    assert (gain["trial"], gain["n"], gain["within_noise"]) == (0, 3, True)
    assert gain["low"] < 0 < gain["mean"] < gain["high"]
    assert (gain["p_flip"], gain["smallest_p_flip"]) == (0.25, 0.25)
    # the rest of the summary tells of the run that is exported, and of trial 0 beside it
    best, paper = summary["best"], summary["paper_values"]
    assert (best["trial"], best["seed"], best["objective"], best["threshold"]) == (2, 1, 0.80, 0.3)
    assert (paper["trial"], paper["seed"], paper["objective"]) == (0, 1, 0.79)
    wanted = statistics.fmean(SCORES[2, seed] - SCORES[0, seed] for seed in (1, 2, 3))
    assert summary["gain_over_paper_values"]["micro_f1"] == pytest.approx(wanted)
    assert (summary["trials"]["total"], summary["epochs"]) == (6, 13)  # of the search alone
    with (record.folder / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[2]["objective"]) == objective(2, 4)


def test_test_scores_of_another_seed_are_not_the_winners(tmp_path):
    record, summary = summed_up(tmp_path / "s")
    assert summary["test"] is None
    report = json.loads((record.folder / "test_report.json").read_text())
    path = record.folder / "test_report.json"
    path.write_text(json.dumps({**report, "seed": 1, "epoch": 4}))
    assert write_summary(load_search(record.folder))["test"]["micro_f1"] == 0.83


def test_a_search_without_confirmation_says_nothing_of_it(tmp_path):
    record = load_search(write_search_folder(tmp_path / "s"))
    summary = write_summary(record)
    assert summary["confirmation"] is None
    assert summary["best"]["seed"] is None
    assert "seed" not in "".join(score_notes(record, summary))
    assert "confirm" not in counts_line(summary)


def test_the_tables_and_sentences(tmp_path):
    record, summary = summed_up(tmp_path / "s")
    text = text_of(confirmation_table(summary["confirmation"], start_words(record)))
    assert max(map(len, text.splitlines())) <= 80
    assert "confirmed: micro-F1 with the seeds 1, 2, 3" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["2", "76.00", "81.67", "1.53", "3", "winner"] in rows
    assert ["0", "74.00", "79.00", "1.00", "3", "paper's", "values"] in rows
    assert score_notes(record, summary)[0] == "these scores are of the models with seed 1"
    assert "gain over the paper's values on validation: micro +2.67, macro +2.67 (means over 3" in (
        "\n".join(score_notes(record, summary))
    )
    assert ", 13 epochs, 24 more to confirm the best, " in counts_line(summary)
    assert notes_of(record, summary) == [
        "trial 2 over the paper's values, mean of 3 seeds: +2.67 (95% interval -2.50 to +7.84, "
        "p = 0.16 by t-test, p = 0.25 by sign flips): within noise",
        "3 seeds show little: sign flips cannot give less than p = 0.25, and the intervals take "
        "differences to be normal",
    ]


def test_many_steady_seeds_are_more_than_noise(tmp_path):
    seeds = range(1, 9)
    steady = {(t, s): 0.7 + 0.001 * (s % 3) + 0.02 * (t == 2) for s in seeds for t in (2, 0)}
    steady[2, 3] += 0.005
    record, summary = summed_up(tmp_path / "s", whole(steady, seeds=seeds))
    [note] = notes_of(record, summary)
    assert note.startswith("trial 2 over the paper's values, mean of 8 seeds: +2.06 (95% interval")
    assert note.endswith("p = 0.0078 by sign flips): more than noise")


def test_an_interval_that_sign_flips_do_not_bear_out_is_said_to_stand_alone(tmp_path):
    scores = {
        (t, s): 0.7 + 0.02 * (t == 2) + 0.001 * (t == 2) * s for s in (1, 2, 3) for t in (2, 0)
    }
    record, summary = summed_up(tmp_path / "s", whole(scores))
    assert notes_of(record, summary)[0].endswith(
        "p = 0.25 by sign flips): more than noise, by the interval alone"
    )


def test_the_next_best_is_told_beside_the_papers_values(tmp_path):
    scores = {**SCORES, (1, 1): 0.81, (1, 2): 0.81, (1, 3): 0.80}
    record, summary = summed_up(tmp_path / "s", whole(scores, trials=(2, 1, 0)))
    notes = notes_of(record, summary)
    assert notes[0].startswith("trial 2 over the paper's values, mean of 3 seeds: +2.67")
    assert notes[1].startswith("trial 2 over the next best, trial 1, mean of 3 seeds: +1.00")


def test_the_paper_may_win(tmp_path):
    scores = {pair: best + 0.1 * (pair[0] == 0) for pair, best in SCORES.items()}
    record, summary = summed_up(tmp_path / "s", whole(scores))
    assert summary["confirmation"]["winner"] == 0
    assert summary["confirmation"]["against_paper_values"] is None
    assert summary["gain_over_paper_values"] == {"micro_f1": 0.0, "macro_f1": 0.0}
    assert notes_of(record, summary)[0].startswith("trial 0 over the next best, trial 2")


def test_what_ended_too_early_says_how_many_seeds_it_has(tmp_path):
    two = {pair: best for pair, best in SCORES.items() if pair != (0, 3)}
    record, summary = summed_up(tmp_path / "s", whole(two))
    assert [row["n"] for row in summary["confirmation"]["candidates"]] == [2, 2]
    assert notes_of(record, summary)[-1] == "1 of 6 runs are left: `resume` goes on with them"
    one = {pair: best for pair, best in SCORES.items() if pair[1] == 1}
    record, summary = summed_up(tmp_path / "t", whole(one))
    assert (summary["best"]["trial"], summary["best"]["seed"]) == (2, None)
    assert notes_of(record, summary) == [
        "2 of 6 runs have ended, too few to choose by: the best is the search's own"
    ]


def test_broken_candidates_are_named(tmp_path):
    broken = run(2, 2, 0.9, epochs=2, status="out_of_memory", reason="CUDA")
    record, summary = summed_up(tmp_path / "s", [*whole(), *broken])
    text = text_of(confirmation_table(summary["confirmation"], start_words(record)))
    assert "out: out of memory with seed 2" in text
    [row] = [row for row in summary["confirmation"]["candidates"] if row["trial"] == 2]
    assert row["broken"] == [{"seed": 2, "status": "out_of_memory", "reason": "CUDA"}]
    both = [*broken, *run(0, 1, 0.9, epochs=0, status="failed")]
    record, summary = summed_up(tmp_path / "t", [*whole(), *both])
    assert notes_of(record, summary) == [
        "no candidate trained to its last epoch with every seed: none is confirmed, and the best "
        "is the search's own"
    ]
    assert text_of(confirmation_table(summary["confirmation"], "paper's values"))


def test_nothing_has_ended_yet(tmp_path):
    record, summary = summed_up(tmp_path / "s", timed([plan(), *run(2, 1, 0.5, status=None)]))
    assert "seeds none yet" in text_of(
        confirmation_table(summary["confirmation"], start_words(record))
    )


def test_the_export_is_the_confirmed_run(tmp_path):
    record, _ = summed_up(tmp_path / "s")
    best = best_config(record)
    assert (best.config.seed, best.best_epoch, best.threshold, best.objective) == (1, 4, 0.3, 0.80)
    assert (best.config.gamma, best.search["trial"]) == (2.5, 2)
    assert best.search["confirmed_with_seeds"] == [1, 2, 3]
    assert best.search["mean_objective"] == statistics.fmean([0.80, 0.83, 0.82])
    best.save(tmp_path / "best.yaml")
    assert type(best).load(tmp_path / "best.yaml") == best
