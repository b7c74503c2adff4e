"""What a comparison runs, goes on with and leaves alone; the searches themselves are stand-ins."""

import dataclasses

import pytest

from search.compare.request import CompareRequest
from search.compare.running import ensure_svm, headline, run_searches
from search.compare.searches import Planned, plan_searches
from search.console import Terminal
from search.hardware import detect_hardware
from search.request import RunRequest
from search.resolve import resolve
from search.run import DONE, INTERRUPTED
from tests.compared_searches import write_done
from tests.search_folder import append_events
from trainable.errors import UsageError, UserError

LOSSES = ("bce", "fl", "db")


@pytest.fixture
def request_of(tmp_path):
    run = RunRequest(dataset="demo", preset="smoke", trials=3, runs_dir=str(tmp_path))
    return CompareRequest(losses=LOSSES, gather=(), name="cmp", run=run)


def begin(request, loss):
    """The folder that a search of this comparison leaves when it is interrupted."""
    run = dataclasses.replace(request.run, loss=loss, name=f"cmp-{loss}")
    spec = resolve(run, detect_hardware())
    write_done(spec.folder, loss)
    spec.save(spec.folder / "spec.yaml")
    return spec


def plan_of(request):
    return plan_searches(request, detect_hardware())


def test_one_search_a_loss_under_one_budget(request_of, tmp_path):
    plan = plan_of(request_of)
    assert [(s.loss, s.name, s.state) for s in plan] == [(x, f"cmp-{x}", "new") for x in LOSSES]
    specs = [resolve(search.request, detect_hardware()) for search in plan]
    assert len({spec.trials for spec in specs}) == 1
    assert [spec.space.loss for spec in specs] == list(LOSSES)
    assert list(tmp_path.iterdir()) == []


def test_done_and_begun_searches_are_found_again(request_of):
    begin(request_of, "bce")
    fl = begin(request_of, "fl")
    again = {"event": "search_started", "attempt": 3, "time": 3e9}
    ended = {"event": "search_ended", "status": "interrupted", "time": 3e9 + 1}
    append_events(fl.folder, [again, ended])
    assert [search.state for search in plan_of(request_of)] == ["done", "begun", "new"]


def test_a_search_is_trusted_with_what_the_command_says(request_of):
    """Where no mark of it can be kept, the comparison goes on nonetheless."""
    run = dataclasses.replace(request_of.run, tracking_uri="http://127.0.0.1:9")
    said = dataclasses.replace(request_of, run=run)
    begin(said, "fl")
    assert [search.trusted for search in plan_of(said)] == [False, True, False]
    assert [search.trusted for search in plan_of(request_of)] == [False, False, False]


def test_other_options_than_it_began_with_are_refused(request_of):
    begin(request_of, "fl")
    other = dataclasses.replace(
        request_of, run=dataclasses.replace(request_of.run, trials=4, epochs=2)
    )
    with pytest.raises(
        UsageError, match=r"^search 'cmp-fl' has trials 3, and this comparison asks for 4: all its"
    ):
        plan_of(other)
    seeded = dataclasses.replace(request_of, run=dataclasses.replace(request_of.run, seed=9))
    with pytest.raises(UsageError, match=r"^search 'cmp-fl' has seed 0, .* asks for 9"):
        plan_of(seeded)


class Stage:
    """Stands in for `run_search` and `resume_search`; what each name does is told beforehand."""

    def __init__(self, monkeypatch, runs, acts=()):
        self.calls, self.acts, self.runs = [], dict(acts), runs
        self.headlines = []
        monkeypatch.setattr("search.compare.running.run_search", self.run)
        monkeypatch.setattr("search.compare.running.resume_search", self.resume)

    def run(self, request, terminal):
        return self._act("run", request.name, terminal)

    def resume(self, request, terminal):
        self.trust = request.trust
        return self._act("resume", request.name, terminal)

    def _act(self, verb, name, terminal):
        self.calls.append((verb, name))
        self.headlines.append(terminal.headline)
        act = self.acts.get(name, DONE)
        if isinstance(act, Exception):
            raise act
        if not (self.runs / name).exists():
            write_done(self.runs / name, name.removeprefix("cmp-"))
        return act


def planned(runs, **states):
    return tuple(
        Planned(
            loss=loss,
            request=RunRequest(loss=loss, name=f"cmp-{loss}", runs_dir=str(runs)),
            folder=runs / f"cmp-{loss}",
            state=states.get(loss, "new"),
            wall_s=60.0 if states.get(loss) == "done" else 0.0,
        )
        for loss in LOSSES
    )


def test_what_is_left_is_run_in_order(monkeypatch, tmp_path):
    stage = Stage(monkeypatch, tmp_path)
    assert run_searches(planned(tmp_path, bce="done", fl="begun"), Terminal.quiet()) == DONE
    assert stage.calls == [("resume", "cmp-fl"), ("run", "cmp-db")]
    assert not stage.trust
    begun = dataclasses.replace(planned(tmp_path, fl="begun")[1], trusted=True)
    run_searches([*planned(tmp_path)[:1], begun], Terminal.quiet())
    assert stage.trust
    assert stage.headlines[0].startswith("comparison: search 2 of 3, loss fl, then db, about 2 min")
    assert ", the last one" in stage.headlines[1]


def test_an_interrupted_search_ends_it_and_says_how_to_go_on(monkeypatch, tmp_path, capsys):
    stage = Stage(monkeypatch, tmp_path, {"cmp-fl": INTERRUPTED})
    assert run_searches(planned(tmp_path), Terminal()) == INTERRUPTED
    assert stage.calls == [("run", "cmp-bce"), ("run", "cmp-fl")]
    assert "interrupted; the same command goes on with it" in capsys.readouterr().out


def test_one_that_fails_does_not_cost_the_others(monkeypatch, tmp_path, capsys):
    stage = Stage(monkeypatch, tmp_path, {"cmp-fl": UserError("no trial\nfinished an epoch")})
    assert run_searches(planned(tmp_path), Terminal()) == DONE
    assert [name for _, name in stage.calls] == ["cmp-bce", "cmp-fl", "cmp-db"]
    err = capsys.readouterr().err
    assert err == "warning: search cmp-fl failed: no trial finished an epoch\n"


def test_too_few_that_are_left_are_an_error(monkeypatch, tmp_path):
    Stage(monkeypatch, tmp_path, {"cmp-fl": UserError("x"), "cmp-db": UserError("y")})
    with pytest.raises(UserError, match=r"^searches failed \(fl, db\) and fewer than two are left"):
        run_searches(planned(tmp_path), Terminal.quiet())


def test_the_svm_that_cannot_be_trained_is_a_warning(monkeypatch, tmp_path, capsys):
    for loss in LOSSES:
        write_done(tmp_path / f"cmp-{loss}", loss)
    asked = []

    def fail(options, _):
        asked.append(options)
        raise UserError("too little memory")

    monkeypatch.setattr("search.baseline.command.run_baseline", fail)
    ensure_svm(planned(tmp_path), RunRequest(runs_dir=str(tmp_path)), Terminal())
    assert capsys.readouterr().err == "warning: no SVM beside the losses: too little memory\n"
    assert "dataset=demo" in asked[0].settings


def test_the_headline_guesses_from_what_is_over(tmp_path):
    plan = planned(tmp_path)
    assert headline(plan, 0, []) == "comparison: search 1 of 3, loss bce, then fl, db"
    assert headline(plan, 1, [90.0, 30.0]).endswith("then db, about 2 min to go")
