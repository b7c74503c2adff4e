"""Confirmation on a real Ray instance, with dummy trials."""

import json
import subprocess
import sys

import optuna
import pytest

from search.journal import read_journal
from search.results import load_search
from tests.small_search import ROOT, make_folder, run_dummies, small_spec

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

# trial 1 is the luckiest with the search's own seed, trial 2 the best on average; 0 is the paper's
QUALITY = {
    **{"0": 0.7, "1": 0.95, "2": 0.9, "3": 0.2},
    **{"1@1": 0.7, "1@2": 0.72, "1@3": 0.71},
    **{"2@1": 0.85, "2@2": 0.83, "2@3": 0.86},
    **{"0@1": 0.69, "0@2": 0.68, "0@3": 0.71},
}
RISEN = 1 - 0.5**4
"""Of a trial's quality, after four epochs."""


def spec_of(tmp_path, **changes):
    # stopped at epoch 2, trial 2 is still the second best
    values = {"trials": 4, "epochs": 4, "grace_period": 2, "max_concurrent": 1}
    values |= {"confirm": 2, "seeds": 3}
    return small_spec(tmp_path, **{**values, **changes})


def events_of(spec, kind):
    events = read_journal(spec.folder / "journal.jsonl")
    return [event for event in events if event["event"] == kind]


def pairs_of(spec, kind):
    return [(event["trial"], event["seed"]) for event in events_of(spec, kind)]


def test_killed_and_resumed_it_trains_what_is_left_and_then_opens_the_test_set(tmp_path):
    """Killed in the middle of the second seed; a hanging run stands for a long one."""
    spec = spec_of(tmp_path)
    make_folder(spec, {"quality": QUALITY, "acts": {"2@2": ["hang", 2], "0@1": ["kill", 2]}})
    with subprocess.Popen(
        [sys.executable, ROOT / "tests" / "small_search.py", tmp_path, spec.name],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as child:
        epochs = (json.loads(line) for line in child.stdout if '"confirm_epoch", ' in line)
        next(event for event in epochs if (event["trial"], event["seed"]) == (2, 2))
        child.kill()
    assert pairs_of(spec, "confirm_ended") == [(1, 1), (2, 1), (0, 1), (1, 2)]
    assert events_of(spec, "test_evaluated") == []
    assert load_search(spec.folder).best.number == 1  # the search's own: nothing is decided

    # what is left; one of the runs breaks down, and its candidate is out
    make_folder(spec, {"quality": QUALITY, "acts": {"1@3": ["diverge", 2]}})
    heard = []
    run_dummies(spec, listeners=[heard.append])
    assert pairs_of(spec, "confirm_ended")[4:] == [(2, 2), (0, 2), (1, 3), (2, 3), (0, 3)]
    record = load_search(spec.folder)
    found = record.confirmation
    assert (found.trials, found.seeds, found.paper) == ((1, 2, 0), (1, 2, 3), 0)
    assert found.left == ()
    # each to its last epoch, whatever ASHA would have said; one worker died, and began again
    assert {pair: len(run.epochs) for pair, run in found.runs.items() if len(run.epochs) != 4} == {
        (1, 3): 1
    }
    assert pairs_of(spec, "confirm_restarted") == [(0, 1)]
    assert (found.runs[1, 3].status, found.runs[1, 3].reason) == ("diverged", "diverge in step 2")
    assert found.ranking == (2, 0)
    assert found.mean(2) == pytest.approx(RISEN * (0.85 + 0.83 + 0.86) / 3)
    # nothing of this is a trial: not in the journal's trials, nor in the study
    assert [trial.number for trial in record.trials] == [0, 1, 2, 3]
    assert [trial.status for trial in record.trials][3] == "stopped"
    storage = f"sqlite:///{spec.folder / 'study.db'}"
    assert len(optuna.load_study(study_name=spec.name, storage=storage).trials) == 4

    # one look at the test set, after all that, with the model of the first seed
    [tested] = events_of(spec, "test_evaluated")
    assert (tested["trial"], tested["seed"]) == (2, 1)
    assert heard.index(tested) > max(i for i, e in enumerate(heard) if "confirm" in e["event"])
    report = json.loads((spec.folder / "test_report.json").read_text())
    assert (report["trial"], report["seed"], report["epoch"]) == (2, 1, 4)
    assert report["trained_with"] == 1
    assert events_of(spec, "search_ended")[-1]["reason"] == ""  # its weights were there
    kept = [path for path in (spec.folder / "confirm").rglob("*") if path.is_file()]
    names = {str(path.relative_to(spec.folder)) for path in kept if path.name != ".lock"}
    assert names == {"confirm/trial-00002-seed-1/weights/trial-00002.safetensors"}
    assert (record.best.number, record.best.seed, record.test_report) == (2, 1, report)

    run_dummies(spec)
    assert events_of(spec, "search_ended")[-1]["reason"] == "nothing was left to do"
