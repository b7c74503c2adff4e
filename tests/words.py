"""How each trial of a search ended, in the word of every place that tells of it."""

import csv
import io

import optuna
from optuna.trial import TrialState
from rich.console import Console

from search.journal import read_journal
from search.results import load_search
from search.summary import write_summary
from search.tables import trials_table
from search.tracking import sync
from search.tracking.check import default_tracking_uri
from search.tracking.messages import RUN_STATUS
from search.tracking.store import connect

STATES = {"completed": TrialState.COMPLETE, "stopped": TrialState.PRUNED}


def words_everywhere(spec):
    """By trial: the one word for its end, once all places were seen to agree.

    The study (state and attribute), the journal, MLflow (tag and run status; replayed here),
    trials.csv, the table, and the counts of summary.json.
    """
    study = optuna.load_study(study_name=spec.name, storage=f"sqlite:///{spec.folder / 'study.db'}")
    told = {trial.number: trial.user_attrs["status"] for trial in study.trials}
    assert {t.number: t.state for t in study.trials} == {
        number: STATES.get(word, TrialState.FAIL) for number, word in told.items()
    }
    events = read_journal(spec.folder / "journal.jsonl")
    started = sorted(e["trial"] for e in events if e["event"] == "trial_started")
    words = {number: told.pop(number) for number in started}
    assert set(told.values()) <= {"interrupted"}  # proposed, and the driver died before the start
    summary = write_summary(load_search(spec.folder))
    counts = {word: list(words.values()).count(word) for word in words.values()}
    assert summary["trials"] == {"total": len(words), **counts}
    places = {
        "journal": _in_journal(events, words),
        "MLflow": _in_mlflow(spec, words),
        "trials.csv": _in_csv(spec.folder),
        "table": _in_table(spec.folder),
    }
    assert places == dict.fromkeys(places, words)
    return words


def _in_journal(events, words):
    """It does not tell of an interruption: a trial without an end is one."""
    ends = {e["trial"]: e["status"] for e in events if e["event"] == "trial_ended"}
    return {number: ends.get(number, "interrupted") for number in words}


def _in_mlflow(spec, words):
    uri = spec.tracking_uri or default_tracking_uri(spec.folder.parent)
    sync(spec.folder, tracking_uri=uri)
    client = connect(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = [run for run in client.search_runs(experiments) if "hpo.status" in run.data.tags]
    by_name = {run.info.run_name: run for run in runs}
    found = {}
    for number in words:
        run = by_name.pop(f"trial-{number:03d}")
        found[number] = run.data.tags["hpo.status"]
        assert run.info.status == RUN_STATUS[found[number]]
    [search] = by_name.values()
    assert search.info.status != "RUNNING"
    return found


def _in_csv(folder):
    with (folder / "trials.csv").open(newline="") as file:
        return {int(row["trial"]): row["status"] for row in csv.DictReader(file)}


def _in_table(folder):
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(trials_table(load_search(folder), limit=10_000))
    found = {}
    for line in console.export_text().splitlines():
        number, _, rest = line.strip().partition(" ")
        if number.isdigit():
            words = rest.split("  ")
            ended = next(word.strip() for word in words if word.strip()[:1].isalpha())
            found[int(number)] = ended.replace(" ", "_")
    return dict(sorted(found.items()))
