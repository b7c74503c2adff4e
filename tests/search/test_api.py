"""Searches from Python: the options of the command line, the folder's numbers, one-line errors."""

import dataclasses
import shlex

import pytest
import yaml

import search
from search import load_search, run_search
from search.commands import run as run_command
from search.options import build_parser
from search.request import RunRequest
from search.results import load_search as read
from search.resume import RESUME_OPTIONS
from tests.search_folder import BEST_TRIAL, FIRST_PART, TRIALS, append_events, events
from tests.search_folder import write_search_folder as write
from trainable.best import BestConfig
from trainable.errors import UsageError, UserError


@pytest.fixture
def asked(monkeypatch):
    """Requests that would have been run; each leaves a finished search."""
    requests = []

    def run(request, terminal):
        requests.append((request, terminal))
        if request.name:
            write(run.runs_dir / request.name)

    monkeypatch.setattr("search.run.run_search", run)
    return requests, run


COMMANDS = {
    "--loss db --dataset demo --preset smoke --trials 3": {
        "loss": "db",
        "dataset": "demo",
        "preset": "smoke",
        "trials": 3,
    },
    "--loss db,cb-ntr --data my.jsonl --set dropout=0.2 --set head_hidden=64 --time-budget 2h": {
        "loss": "db,cb-ntr",
        "data": "my.jsonl",
        "settings": {"dropout": 0.2, "head_hidden": 64},
        "time_budget": 7200.0,
    },
    "--point a.yaml --point b.yaml --warm-start earlier --seeds 3 --confirm 2": {
        "points": ["a.yaml", "b.yaml"],
        "warm_start": "earlier",
        "seeds": 3,
        "confirm": 2,
    },
}


@pytest.mark.parametrize("line", COMMANDS)
def test_options_mean_what_they_mean_on_the_command_line(asked, tmp_path, monkeypatch, line):
    requests, run = asked
    run.runs_dir = tmp_path
    monkeypatch.setattr("search.commands._supervised", None)
    words = [*shlex.split(line), "--name", "mine", "--runs-dir", str(tmp_path)]
    run_command(build_parser().parse_args(["run", *words]), None)
    found = run_search(**COMMANDS[line], name="mine", runs_dir=tmp_path, quiet=True)
    (typed, _), (called, _) = requests
    assert called == typed
    assert found.folder == tmp_path / "mine"


def test_every_option_of_the_command_line_that_says_what_to_search_is_taken(asked, tmp_path):
    requests, run = asked
    run.runs_dir = tmp_path
    names = {field.name for field in dataclasses.fields(RunRequest)} - {"dry_run", "json"}
    options = dict.fromkeys(names - {"settings", "points", "warm_start"})
    run_search(**{**options, "name": "all", "runs_dir": tmp_path})
    assert requests[0][0] == RunRequest(**{**options, "name": "all", "runs_dir": str(tmp_path)})


def test_quiet_leaves_warnings(asked, tmp_path, capsys):
    requests, run = asked
    run.runs_dir = tmp_path
    run_search(name="a", runs_dir=tmp_path, quiet=True)
    [(_, terminal)] = requests
    terminal.say("a line")
    terminal.show("a table")
    terminal.warn("a warning")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "warning: a warning\n")


def test_an_unknown_option_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"^unknown option 'trails': did you mean 'trials'\?"):
        run_search(trails=3, runs_dir=tmp_path)
    with pytest.raises(UsageError, match=r"^unknown option 'dry_run'"):
        run_search(dry_run=True, runs_dir=tmp_path)
    written = load_search(write(tmp_path / "mine"))
    with pytest.raises(UsageError, match=r"^unknown option 'add_trial': did you mean 'add_trials'"):
        written.resume(add_trial=3)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_search_is_found_by_name_and_by_path(tmp_path, monkeypatch):
    folder = write(tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    for found in (
        load_search("mine"),
        load_search("mine", runs_dir=tmp_path / "runs"),
        load_search(folder),
        load_search("runs/mine"),
    ):
        assert found.folder == folder
    with pytest.raises(UsageError, match=r"^unknown search 'other': Allowed: mine$"):
        load_search("other")


def test_what_the_folder_says(tmp_path):
    found = load_search(write(tmp_path / "mine"))
    record = read(tmp_path / "mine")
    assert (found.name, found.status, found.best.number) == ("mine", "interrupted", BEST_TRIAL)
    assert found.summary["best"]["trial"] == BEST_TRIAL
    assert found.best_config.config.gamma == TRIALS[BEST_TRIAL][1]
    assert found.spec == record.spec
    best = f"best {record.best.best_objective:.4f} (trial {BEST_TRIAL})"
    assert repr(found) == f"<Search mine: interrupted, 6 of 6 trials, {best}>"


def test_a_running_search_is_read_again(tmp_path):
    found = load_search(write(tmp_path / "mine", whole=False))
    before = len(found.epochs)
    append_events(found.folder, events()[FIRST_PART:])
    assert len(found.epochs) == before
    assert len(found.reload().epochs) == sum(epochs for _, _, epochs, _ in TRIALS.values())


def test_before_the_first_epoch_there_is_nothing_to_export(tmp_path):
    found = load_search(write(tmp_path / "mine", whole=False))
    (found.folder / "journal.jsonl").write_text("")
    found.reload()
    assert (found.best, len(found.trials), len(found.epochs)) == (None, 0, 0)
    assert "best" not in repr(found)
    with pytest.raises(
        UserError, match=r"^search 'mine' has no finished epoch yet: there is nothing"
    ):
        found.export(tmp_path / "best.yaml")
    with pytest.raises(
        UsageError, match=r"^figure 'learning_curves' of 'mine' has nothing to show"
    ):
        found.figure()


def test_figures_by_name(tmp_path):
    found = load_search(write(tmp_path / "mine"))
    titles = {
        name: found.figure(name).axes[0].get_title(loc="left")
        for name in ("learning_curves", "threshold_curve", "groups")
    }
    assert len(set(titles.values())) == len(titles)
    assert "epoch" in titles["learning_curves"]
    with pytest.raises(UsageError, match=r"^unknown figure 'curves': did you mean"):
        found.figure("curves")


def test_an_export_is_that_of_the_command_line(tmp_path):
    found = load_search(write(tmp_path / "mine"))
    path = found.export(tmp_path / "best.yaml")
    assert yaml.safe_load(path.read_text())["format"] == "longtail-search/best"
    assert BestConfig.load(path) == found.best_config


def test_resume_asks_as_the_command_line_does(tmp_path, monkeypatch):
    found = load_search(write(tmp_path / "mine"))
    asked = []
    monkeypatch.setattr("search.run.resume_search", lambda request, _: asked.append(request))
    assert found.resume(add_trials=2, time_budget=60.0, accept_changes=True, quiet=True) is found
    [request] = asked
    assert (request.name, request.runs_dir) == ("mine", str(tmp_path))
    assert (request.add_trials, request.accept_changes) == (2, True)
    assert dict(request.changes) == {"time_budget_s": 60.0}


def test_resume_takes_what_the_command_line_takes():
    parser = build_parser().parse_args(["resume", "x"])
    told = {
        "name",
        "runs_dir",
        "command",
        "json",
        "restart",
        "add_trials",
        "accept_changes",
        "trust",
    }
    assert set(RESUME_OPTIONS) == set(vars(parser)) - told


def test_the_package_offers_it():
    assert set(search.__all__) == {"Search", "load_search", "run_search"}
