import math

import pytest

from search.tracking.confirm_messages import ConfirmTranslator
from search.tracking.messages import RUN_STATUS, Message, Point, Translator, merge
from tests.confirmed_search import SCORES, plan, run, timed, whole
from tests.search_folder import BEST_TRIAL, EPOCHS, START, TRIALS, events, objective
from trainable.config import BEST_OBJECTIVE


def translate(rows, translator=None):
    translator = translator or Translator({"loss": "db"})
    return merge([m for row in rows for m in translator.translate(row)]), translator


def started(number, time, **more):
    params = {"learning_rate": 0.01}
    return {"event": "trial_started", "trial": number, "params": params, "time": time, **more}


def epoch(number, nth, value, time, **metrics):
    best = {"best/objective": value, "best/epoch": nth, "best/threshold": 0.5}
    metrics = {"epoch": nth, "val/objective": value, "val/micro_f1": value, **best, **metrics}
    return {"event": "epoch", "trial": number, "epoch": nth, "metrics": metrics, "time": time}


def ended(number, status, time):
    return {"event": "trial_ended", "trial": number, "status": status, "time": time, "reason": ""}


def values(message, key):
    return [(p.step, p.value, p.time_ms) for p in message.points if p.key == key]


def test_one_message_a_run_and_the_search_comes_first():
    merged, _ = translate(events())
    assert list(merged) == [None, *TRIALS]


@pytest.mark.parametrize("number", TRIALS)
def test_end_statuses(number):
    merged, _ = translate(events())
    status = TRIALS[number][3] or "interrupted"
    assert merged[number].status == RUN_STATUS[status]
    assert merged[number].tags["hpo.status"] == status


def test_mlflow_statuses_say_stopping_is_no_failure():
    assert RUN_STATUS["stopped"] == RUN_STATUS["completed"] == "FINISHED"
    assert {RUN_STATUS[s] for s in ("diverged", "out_of_memory", "failed")} == {"FAILED"}
    assert RUN_STATUS["interrupted"] == "KILLED"


def test_params_are_what_was_sampled_and_the_loss():
    merged, _ = translate(events())
    assert merged[3].params == {
        "loss": "db",
        "learning_rate": "0.0009",
        "gamma": "0.5",
        "mu": "0.9",
    }
    [(step, value, _)] = values(merged[3], "hp/log10_learning_rate")
    assert (step, value) == (0, pytest.approx(math.log10(9e-4)))


def test_an_epoch_is_the_step_and_the_journal_has_the_time():
    merged, _ = translate(events())
    row = next(r for r in events() if r["event"] == "epoch" and r["trial"] == 2)
    points = values(merged[2], "val/micro_f1")
    assert [step for step, *_ in points] == [1, 2, 3, 4]
    assert points[0] == (1, objective(2, 1), round(row["time"] * 1000))
    assert not [p for p in merged[2].points if p.key == "epoch"]


def test_best_stands_at_step_0_and_is_told_only_when_it_changes():
    rows = [started(0, 1), epoch(0, 1, 0.5, 2), epoch(0, 2, 0.7, 3)]
    rows.append(epoch(0, 3, 0.6, 4, **{"best/objective": 0.7, "best/epoch": 2}))
    merged, _ = translate(rows)
    for key, last in (("best/objective", 0.7), ("best/epoch", 2)):
        points = values(merged[0], key)
        assert [step for step, *_ in points] == [0, 0]
        assert points[-1][1:] == (last, 3000)
    assert [value for _, value, _ in values(merged[None], "best/objective")] == [0.5, 0.7]


def test_the_leader_is_the_best_trial_and_the_lower_number_on_ties():
    merged, translator = translate(events())
    assert translator.leader == BEST_TRIAL
    assert values(merged[None], "best/trial")[-1][1] == BEST_TRIAL
    rows = [started(1, 1), started(0, 1), epoch(1, 1, 0.6, 2), epoch(0, 1, 0.6, 3)]
    assert translate(rows)[1].leader == 0


def test_values_that_are_not_finite_are_left_out():
    row = epoch(0, 1, 0.5, 2, **{"val/loss": math.nan, "train/loss": math.inf})
    merged, _ = translate([started(0, 1), row])
    assert {"val/loss", "train/loss"}.isdisjoint(p.key for p in merged[0].points)


def test_a_trial_without_a_scored_epoch_has_no_best():
    row = epoch(0, 1, 0.0, 2, **{"best/epoch": 0})
    merged, translator = translate([started(0, 1), row])
    assert translator.leader is None or translator.trials[0].best is None
    assert not [p for p in merged[0].points if p.key.startswith("best/")]


def test_a_restarted_trial_loses_its_best():
    rows = [started(0, 1), started(1, 1), epoch(0, 1, 0.9, 2), epoch(1, 1, 0.6, 3)]
    rows.append({"event": "trial_restarted", "trial": 0, "reason": "its worker died", "time": 4})
    merged, translator = translate(rows)
    assert merged[0].tags["hpo.restarted"] == "its worker died"
    assert translator.leader == 1
    assert values(merged[None], "best/objective")[-1] == (0, 0.6, 4000)


def test_a_resumed_search_runs_again_and_what_was_left_is_interrupted():
    first = [{"event": "search_started", "attempt": 1, "time": 1}, started(0, 2)]
    merged, translator = translate([*first, epoch(0, 1, 0.5, 3)])
    assert merged[0].status == "RUNNING"
    second = [{"event": "search_started", "attempt": 2, "time": 9}, started(1, 10, resumes=0)]
    merged, _ = translate(second, translator)
    assert merged[None].status == "RUNNING"
    assert merged[None].tags["hpo.attempt"] == "2"
    assert (merged[0].status, merged[0].ended_ms) == ("KILLED", 3000)
    assert merged[1].tags["hpo.resumes"] == "0"


def test_an_abandoned_search_was_interrupted_and_a_complete_one_was_not():
    _, translator = translate(events()[:5])
    merged = merge(translator.abandoned())
    assert {m.status for m in merged.values()} == {"KILLED"}
    _, translator = translate(events())
    assert translator.abandoned() == []


def test_an_event_of_an_unknown_kind_says_nothing():
    assert Translator().translate({"event": "checkpoint", "time": START}) == []


def test_later_messages_win_and_points_add_up():
    a = Message(trial=1, started_ms=5, params={"a": "1"}, status="KILLED", ended_ms=7)
    b = Message(trial=1, points=(Point("x", 1.0, 0, EPOCHS),), status="RUNNING")
    both = a.then(b)
    assert (both.started_ms, both.status, both.ended_ms) == (5, "RUNNING", None)
    assert both.params == {"a": "1"}
    assert len(both.then(b).points) == 2


def confirmed(rows):
    return translate([*events(), *rows], ConfirmTranslator({"loss": "db"}))


def test_a_confirming_run_is_one_of_its_own():
    merged, _ = confirmed(whole())
    assert list(merged)[: 1 + len(TRIALS)] == [None, *TRIALS]
    assert list(merged)[1 + len(TRIALS) :] == list(SCORES)
    message = merged[2, 3]
    assert (message.trial, message.seed, message.status) == (2, 3, "FINISHED")
    assert message.params["seed"] == "3"
    assert message.params["gamma"] == "2.5"
    assert [value for _, value, _ in values(message, "val/micro_f1")] == pytest.approx(
        [0.79, 0.80, 0.81, 0.82]
    )
    assert values(message, BEST_OBJECTIVE)[-1][:2] == (0, 0.82)
    # the trial's own run hears nothing of it
    assert merged[2] == translate(events())[0][2]


def test_the_means_and_the_gain_are_the_searchs():
    merged, translator = confirmed(whole())
    last = {point.key: point.value for point in merged[None].points}
    assert last["confirm/trial_2/mean"] == pytest.approx((0.80 + 0.83 + 0.82) / 3)
    assert last["confirm/trial_0/sd"] == pytest.approx(0.01)
    assert last["confirm/trial_2/seeds"] == 3
    assert last["confirm/gain/mean"] == pytest.approx(0.08 / 3)
    assert last["confirm/gain/low"] < 0 < last["confirm/gain/high"]
    assert (last["best/trial"], last[BEST_OBJECTIVE]) == (2.0, 0.80)
    tags = merged[None].tags
    assert (tags["hpo.confirmed_trial"], tags["hpo.confirm_seeds"]) == ("2", "1, 2, 3")
    assert translator.confirmation.winner.trial == 2
    again, _ = confirmed(whole())
    assert again == merged  # a replay says the same


def test_confirming_runs_that_were_cut_off_are_killed_and_begin_again():
    rows = timed([plan(), *run(2, 1, 0.8, epochs=2, status=None)])
    end = {"event": "search_ended", "status": "interrupted", "reason": "Ctrl-C", "time": 2.1e9}
    merged, translator = confirmed([*rows, end])
    assert merged[2, 1].status == "KILLED"
    assert "hpo.confirmed_trial" not in merged[None].tags
    more, _ = translate(
        [{"event": "search_started", "attempt": 2, "time": 2.2e9}, *run(2, 1, 0.8)], translator
    )
    assert more[2, 1].status == "FINISHED"
    broken, _ = confirmed([*whole(), *run(2, 1, 0.8, status="out_of_memory", reason="CUDA")])
    assert (broken[2, 1].status, broken[2, 1].tags["hpo.reason"]) == ("FAILED", "CUDA")


def test_a_plan_that_is_given_up_leaves_the_searchs_best():
    merged, _ = confirmed([*whole(), *timed([plan((), (), None)], start=3e9)])
    assert values(merged[None], "best/trial")[-1] == (0, float(BEST_TRIAL), 3 * 10**12)
    assert values(merged[None], BEST_OBJECTIVE)[-1][1] == objective(BEST_TRIAL, EPOCHS)
