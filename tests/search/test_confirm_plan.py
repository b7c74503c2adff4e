"""What is to be confirmed, as a search is begun, extended and resumed; Ray is not started."""

import contextlib
from collections import deque

import pytest

pytest.importorskip("ray")

from ray import cloudpickle
from ray.tune.search import Searcher

from search import confirm, tuner
from search.confirm_folder import ConfirmFolder, drop_losers
from search.confirm_tune import Candidates, ConfirmProposal, RunSearcher
from search.events import EventLog
from search.final_test import find_weights
from search.journal import Journal, read_journal
from search.winner import choose_winner
from tests.confirmed_search import run
from tests.small_search import small_spec
from tests.tiny import tiny_encoded
from trainable.config import BEST_OBJECTIVE
from trainable.weights import keep_if_best, weights_path


@pytest.fixture
def spec(tmp_path):
    """Of a search whose three trials are over; 1 is the best."""
    spec = small_spec(tmp_path, trials=3, confirm=1, seeds=2)
    spec.folder.mkdir()
    for number, best in enumerate((0.5, 0.7, 0.6)):
        emit(spec, *trial(number, best))
    return spec


def trial(number, best):
    metrics = {BEST_OBJECTIVE: best, "best/epoch": 1, "best/threshold": 0.5}
    return [
        {"event": "trial_started", "trial": number, "params": {"learning_rate": 0.1 + number}},
        {"event": "epoch", "trial": number, "epoch": 1, "metrics": metrics},
    ]


def log_of(spec):
    return EventLog(Journal(spec.folder / "journal.jsonl"))


def emit(spec, *rows):
    events = log_of(spec)
    for row in rows:
        events.emit(row["event"], **{k: v for k, v in row.items() if k not in ("event", "time")})


def plans(spec):
    events = read_journal(spec.folder / "journal.jsonl")
    return [event["trials"] for event in events if event["event"] == "confirm_planned"]


def test_nothing_is_planned_where_nothing_was_asked_for_or_scored(spec, tmp_path):
    plain = spec.replace(confirm=0)
    assert confirm.plan(plain, log_of(spec)) is None
    assert not confirm.is_due(plain)
    assert plans(spec) == []
    empty = small_spec(tmp_path, name="empty", confirm=1)
    empty.folder.mkdir()
    assert confirm.plan(empty, log_of(empty)) is None
    assert not confirm.is_due(empty)


def test_a_plan_is_written_once_and_again_where_it_changes(spec):
    assert confirm.is_due(spec)
    planned = confirm.plan(spec, log_of(spec))
    assert planned.left == ((1, 1), (0, 1), (1, 2), (0, 2))
    assert confirm.plan(spec, log_of(spec)) == planned
    assert plans(spec) == [[1, 0]]
    for pair in planned.left:
        emit(spec, *run(*pair, 0.5, epochs=1))
    assert not confirm.is_due(spec)
    # more trials, or more seeds: what is there stays
    emit(spec, *trial(3, 0.9))
    assert confirm.is_due(spec)
    assert confirm.plan(spec, log_of(spec)).left == ((3, 1), (3, 2))  # 0's runs are there
    more = confirm.plan(spec.replace(confirm=2, seeds=3), log_of(spec))
    assert more.trials == (3, 1, 0)
    assert more.left == ((3, 1), (3, 2), (3, 3), (1, 3), (0, 3))
    # given up
    plain = spec.replace(confirm=0)
    assert confirm.is_due(plain)
    assert confirm.plan(plain, log_of(spec)) is None
    assert not confirm.is_due(plain)
    assert plans(spec) == [[1, 0], [3, 0], [3, 1, 0], []]


def test_the_test_set_stays_sealed_until_two_seeds_are_compared(spec):
    spec = spec.replace(seeds=3)
    assert confirm.undecided(spec.folder) == ""
    confirm.plan(spec, log_of(spec))
    emit(spec, *run(1, 1, 0.5, epochs=1), *run(0, 1, 0.5, epochs=1))
    assert confirm.undecided(spec.folder) == "1 of 3 seeds are confirmed, too few to choose by"
    emit(spec, *run(1, 2, 0.5, epochs=1), *run(0, 2, 0.5, epochs=1, status="failed"))
    assert confirm.undecided(spec.folder) == ""


@pytest.mark.parametrize(
    ("confirm_best", "trials", "part"),
    [(2, 6, 0.5), (2, 3, 1 / 3), (2, 0, 1.0), (0, 6, 1.0)],  # 6 runs: 3 candidates with 2 seeds
)
def test_the_trials_part_of_the_budgets(spec, confirm_best, trials, part):
    spec = spec.replace(trials=6, confirm=confirm_best)
    assert confirm.part_of_trials(spec, trials) == pytest.approx(part)


def keep(spec, pair, objective, epoch):
    own = ConfirmFolder.of(spec.folder, pair)
    return keep_if_best(
        own.weights, pair[0], objective=objective, epoch=epoch, threshold=0.3, state={}
    )


def test_each_run_keeps_its_own_weights_until_the_winner_is_scored(spec):
    confirm.plan(spec, log_of(spec))
    for pair, best in {(1, 1): 0.5, (0, 1): 0.6, (1, 2): 0.9, (0, 2): 0.5}.items():
        emit(spec, *run(*pair, best, epochs=2))
    kept, lost = keep(spec, (1, 1), 0.5, 2), keep(spec, (0, 1), 0.6, 2)
    winner = choose_winner(read_journal(spec.folder / "journal.jsonl"))
    assert (winner.number, winner.seed) == (1, 1)
    assert find_weights(spec.folder, winner) == kept
    assert lost.exists()
    drop_losers(spec.folder, (1, 1))
    assert kept.exists()
    assert not lost.exists()
    keep(spec, (1, 1), 0.6, 1)  # of an epoch that never counted
    assert find_weights(spec.folder, winner) is None


def test_before_a_run_begins_anew_what_it_left_goes_unless_it_goes_on(spec):
    own = ConfirmFolder.of(spec.folder, (1, 1))
    weights = weights_path(own.weights, 1)
    keep(spec, (1, 1), 0.6, 1)
    own.checkpoints.mkdir()
    (own.checkpoints / "trial-00001.pt").touch()
    own.drop_stale()
    assert weights.exists()
    own.drop_checkpoints()
    assert weights.exists()
    assert not own.checkpoints.exists()
    own.drop_stale()
    assert not own.path.exists()
    own.checkpoints.mkdir(parents=True)
    own.drop_checkpoints()  # a run without weights leaves nothing
    assert not own.path.exists()


def test_runs_are_handed_out_in_order_and_no_more_than_asked_for_at_once():
    runs = [ConfirmProposal(number=1, params={}, resumes=None, seed=seed) for seed in (1, 2, 3)]
    open_runs = Candidates(deque(runs))
    searcher = RunSearcher(open_runs, lambda proposal: {"seed": proposal.seed})
    assert searcher.set_max_concurrency(2)
    assert [searcher.suggest(name) for name in "abc"] == [{"seed": 1}, {"seed": 2}, None]
    assert open_runs.proposal("a") == runs[0]
    searcher.on_trial_complete("a", {"epoch": 1}, error=True)
    assert searcher.suggest("c") is None  # an error is the recorder's to close
    open_runs.finish("a")
    assert searcher.suggest("c") == {"seed": 3}
    searcher.on_trial_complete("b", {"epoch": 1})
    assert searcher.suggest("d") == Searcher.FINISHED
    open_runs.finish("unknown")
    assert open_runs.num_open == 1


def test_what_tune_pickles_of_it_holds_no_password():
    secret = "postgresql://ann:hunter2@host/db"
    searcher = RunSearcher(Candidates(deque()), lambda _: {"storage": secret})
    assert b"hunter2" in cloudpickle.dumps(searcher._ray_config)  # it would be
    assert b"hunter2" not in cloudpickle.dumps(searcher)


@pytest.fixture
def attempt(spec, monkeypatch):
    """An attempt at that search, without Ray: `fit` and `train` stand for what Tune would do."""

    @contextlib.contextmanager
    def no_ray(*_, **__):
        yield spec.folder

    def begin(fit=lambda _: None, train=lambda *_: None, *, trials=6, **changes):
        changed = spec.replace(trials=trials, **changes)
        monkeypatch.setattr(tuner, "ray_instance", no_ray)
        monkeypatch.setattr(tuner, "prepare_environment", lambda **_: None)
        monkeypatch.setattr(tuner, "drop_stale_weights", lambda _: None)  # the trials have none
        monkeypatch.setattr(tuner._Attempt, "fit", lambda _, shop, __: fit(shop.switch))
        monkeypatch.setattr(
            confirm, "train_left", lambda planned, shop, log: train(planned, shop.switch, log)
        )
        monkeypatch.setattr(tuner, "score_winner", lambda *_: "scored")
        tuner.run_trials(changed, tiny_encoded(), trainable=object)
        ended = read_journal(spec.folder / "journal.jsonl")[-1]
        return ended["status"], ended["reason"]

    return begin


def end_all(planned, _, log, seeds=9):
    for trial, seed in planned.left:
        if seed <= seeds:
            for row in run(trial, seed, 0.5, epochs=1):
                log.emit(
                    row["event"], **{k: v for k, v in row.items() if k not in ("event", "time")}
                )


def spend(switch):
    switch.throw("time_budget", "the time budget is spent")


def test_all_is_done(attempt):
    assert attempt(train=end_all) == ("completed", "scored")


def test_the_trials_leave_time_to_confirm(attempt):
    status, reason = attempt(spend, end_all, time_budget_s=100.0)
    assert status == "time_budget"
    assert reason == "the time budget is spent; scored"


def test_a_budget_that_is_spent_before_two_seeds_leaves_the_test_set_sealed(attempt):
    def train(planned, switch, log):
        assert switch.status == ""  # there is time again
        end_all(planned, switch, log, seeds=1)
        spend(switch)

    status, reason = attempt(spend, train, time_budget_s=100.0)
    assert status == "time_budget"
    assert reason == (
        "the time budget is spent; 1 of 2 seeds are confirmed, too few to choose by: the "
        "test set stays sealed"
    )


def test_whole_seeds_decide_where_the_budget_is_spent(attempt):
    def train(planned, switch, log):
        end_all(planned, switch, log, seeds=2)
        spend(switch)

    assert attempt(train=train, seeds=3, time_budget_s=100.0) == (
        "time_budget",
        "the time budget is spent; scored",
    )


@pytest.mark.parametrize("when", ["in the trials", "while confirming"])
def test_ctrl_c_leaves_the_test_set_sealed(attempt, when):
    def train(planned, switch, log):
        assert when == "while confirming"
        end_all(planned, switch, log)
        switch.throw("interrupted", "Ctrl-C")

    def fit(switch):
        if when == "in the trials":
            switch.throw("interrupted", "Ctrl-C")

    assert attempt(fit, train) == ("interrupted", "Ctrl-C; the test set stays sealed")
