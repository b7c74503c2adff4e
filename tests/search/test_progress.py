import io
from collections import Counter
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from search.journal import Journal
from search.progress import Progress, describe, render, settings, sparkline
from search.progress_state import ProgressState, apply, eta_s
from tests.confirmed_search import plan, run, timed
from tests.small_search import small_spec

PARAMS = {"learning_rate": 3e-5, "gamma": 1.5, "lambda_": 2.0}


@pytest.fixture
def spec(tmp_path):
    spec = small_spec(tmp_path, trials=4, epochs=5, max_concurrent=2)
    spec.folder.mkdir()
    return spec


def started(number, at, **more):
    return {"event": "trial_started", "trial": number, "params": PARAMS, "time": at, **more}


def epoch(number, epoch, at, value=0.5, best=None, epoch_s=10.0):
    return {
        "event": "epoch",
        "trial": number,
        "epoch": epoch,
        "time": at,
        "metrics": {
            "val/objective": value,
            "val/micro_f1": value,
            "val/macro_f1": value / 2,
            "best/objective": value if best is None else best[0],
            "best/epoch": epoch if best is None else best[1],
            "best/threshold": 0.41,
            "time/epoch_s": epoch_s,
            "time/train_docs_per_s": 123.4,
        },
    }


def ended(number, at, status="completed", reason="all 5 epochs"):
    return {"event": "trial_ended", "trial": number, "status": status, "reason": reason, "time": at}


def begun(at=1000.0, attempt=1):
    return {"event": "search_started", "attempt": attempt, "time": at}


def fold(spec, *events):
    state = ProgressState(spec=spec)
    for event in events:
        state = apply(state, event)
    return state


def told(state):
    """All that a state tells, but for what depends on the time of asking."""
    return {
        "trials": dict(state.trials),
        "running": state.running,
        "ended": state.ended,
        "num_ended": state.num_ended,
        "best": state.best,
        "counts": state.counts,
        "epoch_s": pytest.approx(state.epoch_s) if state.epoch_s else state.epoch_s,
        "lasted_s": pytest.approx(state.lasted_s) if state.lasted_s else state.lasted_s,
        "attempt": (state.attempt_started, state.clock_started, state.status, state.reason),
    }


def text_of(renderable, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(renderable)
    return console.file.getvalue()


def test_the_state_follows_the_events(spec):
    state = fold(
        spec,
        begun(),
        started(0, 1001),
        started(1, 1002),
        epoch(0, 1, 1011, 0.6),
        epoch(0, 2, 1021, 0.5, best=(0.6, 1)),
        epoch(1, 1, 1012, 0.7),
        ended(1, 1013, "stopped", "below the top half at epoch 1"),
    )
    assert [trial.number for trial in state.running] == [0]
    assert state.trials[0].curve == (0.6, 0.5)
    assert (state.trials[0].best, state.trials[0].best_macro) == (0.6, 0.3)
    assert state.best.number == 1
    assert state.counts == {"running": 1, "stopped": 1}
    assert state.elapsed_s(1030.0) == 30.0


def test_a_restarted_trial_begins_anew_and_strange_events_change_nothing(spec):
    events = (begun(), started(0, 1001), epoch(0, 1, 1011, 0.6))
    state = fold(spec, *events, {"event": "trial_restarted", "trial": 0, "reason": "died"})
    assert (state.trials[0].epoch, state.trials[0].curve, state.best) == (0, (), None)
    state = fold(spec, *events)
    before = told(state)
    apply(state, {"event": "epoch", "trial": 9, "epoch": 1, "metrics": {}})
    apply(state, {"event": "of the future"})
    assert told(state) == before


NUMBERS = st.integers(0, 5)
EVENTS = st.one_of(
    st.just(("search_started",)),
    st.tuples(st.just("trial_started"), NUMBERS),
    st.tuples(st.just("epoch"), NUMBERS, st.integers(1, 5), st.sampled_from([0.1, 0.2, 0.5, None])),
    st.tuples(st.just("trial_restarted"), NUMBERS),
    st.tuples(st.just("trial_ended"), NUMBERS, st.sampled_from(["completed", "stopped", "failed"])),
)


def as_event(at, kind, number=0, *rest):
    if kind == "search_started":
        return begun(at)
    if kind == "trial_started":
        return started(number, at)
    if kind == "epoch":
        n, value = rest
        # without a value: an epoch that could not be scored has no best one
        told = epoch(number, n, at, value or 0.0, epoch_s=float(n))
        return told if value else {**told, "metrics": {"time/epoch_s": float(n)}}
    if kind == "trial_restarted":
        return {"event": kind, "trial": number, "reason": "died", "time": at}
    return ended(number, at, rest[0], "why")


@given(st.lists(EVENTS, max_size=40))
def test_what_is_kept_up_to_date_is_what_the_trials_say(steps):
    """Against the plain definitions, over all trials, after every event."""
    state = ProgressState(spec=None)
    for at, step in enumerate(steps, 1000):
        apply(state, as_event(float(at), *step))
        trials = [state.trials[number] for number in sorted(state.trials)]
        over = [t for t in trials if t.status not in ("running", "interrupted")]
        assert state.running == [t for t in trials if t.status == "running"]
        assert sorted(state.ended, key=lambda t: t.number) == over
        assert state.num_ended == len(over)
        assert state.counts == Counter(t.status for t in trials)
        scored = [t for t in trials if t.metrics.get("best/epoch")]
        best = max(scored, key=lambda t: (t.metrics["best/objective"], -t.number), default=None)
        assert state.best == best
        timed = [t.epoch_s for t in trials if t.epoch_s is not None]
        assert (state.epoch_s is None) == (timed == [])
        assert timed == [] or state.epoch_s == pytest.approx(mean(timed))
        lasted = [t.ended - t.started for t in over if t.ended is not None and t.epoch > 0]
        assert (state.lasted_s is None) == (lasted == [])
        assert lasted == [] or state.lasted_s == pytest.approx(mean(lasted))


def test_the_trials_that_ended_stand_in_the_order_of_their_ends(spec):
    events = [begun(), *(started(n, 1001 + n) for n in range(4))]
    state = fold(spec, *events, *(ended(n, 1010 + at) for at, n in enumerate((2, 0, 3))))
    assert [trial.number for trial in state.ended] == [2, 0, 3]


def test_a_trial_that_ended_keeps_what_the_table_shows_of_it(spec):
    metrics = epoch(0, 1, 1010)["metrics"] | {f"val/head{n}/micro_f1": 0.5 for n in range(30)}
    event = epoch(0, 1, 1010) | {"metrics": metrics}
    running = text_of(render(fold(spec, begun(), started(0, 1001), event), 160, 1020.0), 160)
    state = fold(spec, begun(), started(0, 1001), event, ended(0, 1020))
    assert len(state.trials[0].metrics) < 10
    over = text_of(render(state, 160, 1020.0), 160)
    row, before = (next(x for x in t.splitlines() if "*0" in x) for t in (over, running))
    assert row.split() == before.replace("running", "completed").split()


def test_a_second_attempt_finds_what_was_running_interrupted(spec):
    state = fold(spec, begun(), started(0, 1001), epoch(0, 1, 1011), begun(5000.0, attempt=2))
    assert state.trials[0].status == "interrupted"
    assert state.running == []
    assert state.elapsed_s(5010.0) == 10.0


def test_eta_is_unknown_before_the_first_epoch(spec):
    assert eta_s(fold(spec), 1000.0) is None
    assert eta_s(fold(spec, begun(), started(0, 1001)), 1005.0) is None


def test_eta_before_an_end_counts_all_epochs(spec):
    state = fold(spec, begun(), started(0, 1000), started(1, 1000), epoch(0, 1, 1010))
    # trial 0 has 4 epochs left; trial 1, of which nothing is known, its 50 s less 10; 2 to come
    assert eta_s(state, 1010.0) == pytest.approx((40 + 40 + 2 * 50) / 2)


def test_eta_learns_from_the_trials_that_ended(spec):
    state = fold(
        spec,
        begun(),
        started(0, 1000),
        started(1, 1000),
        epoch(0, 1, 1010),
        epoch(1, 1, 1010),
        ended(1, 1020, "stopped", ""),
    )
    # trials last 20 s: trial 0 is at its average, so its 4 epochs count; 2 to come
    assert eta_s(state, 1020.0) == pytest.approx((40 + 2 * 20) / 2)
    # no lane can be quicker than its own trial
    alone = fold(
        spec.replace(trials=2),
        begun(),
        started(0, 1000),
        started(1, 1000),
        epoch(0, 1, 1010),
        epoch(1, 1, 1010),
        ended(1, 1020, "stopped", ""),
    )
    assert eta_s(alone, 1020.0) == pytest.approx(40)


def test_eta_keeps_to_the_time_budget(spec):
    # Ray took 500 s to start: that is not the budget's
    begun_early = begun() | {"time": 500.0}
    state = fold(spec.replace(time_budget_s=30.0), begun_early, started(0, 1000), epoch(0, 1, 1010))
    assert eta_s(state, 1010.0) == 20.0
    assert eta_s(state, 1100.0) == 0.0


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_view_fits_the_terminal(spec, width):
    events = [begun()]
    for number in range(3):
        events += [started(number, 1001), epoch(number, 1, 1010, 0.1234 * (number + 1))]
    events.append(ended(0, 1020, "out_of_memory", "no room"))
    text = text_of(render(fold(spec, *events), width, 1030.0), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "trials 1/4: 1 out of memory, 2 running" in text
    assert "0.3702" in text
    assert ("docs/s" in text) == (width >= 100)
    if width >= 80:
        assert "small | loss db | 0:00:30 | to go: about" in text
        assert "best: trial 2, epoch 1: micro-F1 0.3702 at 0.41, macro-F1 0.1851" in text


@pytest.mark.parametrize("width", [80, 90, 120])
def test_long_settings_are_cut_and_nothing_else(spec, width):
    long = {name: 0.123456 for name in ("learning_rate", "gamma", "alpha", "beta", "mu", "kappa")}
    event = started(0, 1001) | {"params": {**long, "lambda_": 3.123, "weight_decay": 0.01234}}
    text = text_of(render(fold(spec, begun(), event, epoch(0, 1, 1010)), width, 1030.0), width)
    for name in ("trial", "epoch", "micro-F1", "best", "macro-F1", "status", "settings"):
        assert name in text
    [row] = [line for line in text.splitlines() if "running" in line and "0.5000" in line]
    assert "lr 0.123" in row
    assert row.rstrip().endswith("\u2026")


def test_the_view_before_anything_happened(spec):
    text = text_of(render(ProgressState(spec=spec), 80, 1000.0), 80)
    assert "to go: unknown" in text
    assert "starting Ray" in text


def test_the_view_of_a_large_search_stays_small(spec):
    events = [begun()]
    for number in range(200):
        events += [started(number, 1000), epoch(number, 1, 1010, number / 1000)]
        if number < 150:
            events.append(ended(number, 1010 + number))
    text = text_of(render(fold(spec.replace(trials=300), *events), 80, 2000.0), 80)
    assert len(text.splitlines()) <= 24
    assert "*199" not in text  # the best of all runs, beyond the rows shown; the header has it
    assert "best: trial 199" in text


def test_the_lines_of_a_log(spec):
    events = [
        begun(),
        started(0, 1001),
        epoch(0, 1, 1011, 0.6),
        {"event": "trial_restarted", "trial": 0, "reason": "its worker process died", "time": 1012},
        epoch(0, 1, 1021, 0.6),
        ended(0, 1031),
        started(1, 1032, resumes=0),
        ended(1, 1033, "out_of_memory", ""),
        {"event": "test_evaluated", "trial": 0, "micro_f1": 0.5, "macro_f1": 0.25, "time": 1040},
        {"event": "search_ended", "status": "time_budget", "reason": "spent", "time": 1041},
    ]
    state, lines = ProgressState(spec=spec), []
    for event in events:
        state = apply(state, event)
        lines.append(describe(state, event))
    assert lines == [
        "search small: loss db, 4 trials, up to 5 epochs each",
        "trial 0 started: lr 3e-05 gamma 1.5 lambda 2",
        "trial 0 epoch 1/5: micro-F1 0.6000, macro-F1 0.3000, best 0.6000, 123 docs/s",
        "trial 0 starts again: its worker process died",
        "trial 0 epoch 1/5: micro-F1 0.6000, macro-F1 0.3000, best 0.6000, 123 docs/s",
        "trial 0 completed (all 5 epochs): best 0.6000; 1/4 trials done, about 0:00:45 to go",
        "trial 1 started (trial 0 again): lr 3e-05 gamma 1.5 lambda 2",
        "trial 1 out of memory: best none; 2/4 trials done, about 0:00:30 to go",
        "trial 0 on the test set: micro-F1 0.5000, macro-F1 0.2500",
        "search time budget: spent",
    ]


def test_a_log_has_no_control_characters(spec):
    console = Console(file=io.StringIO(), width=80)
    with Progress(spec, console) as progress:
        for event in (begun(), started(0, 1001), epoch(0, 1, 1011), ended(0, 1012, reason="[b]x")):
            progress(event)
    text = console.file.getvalue()
    assert len(text.splitlines()) == 4
    assert "[b]x" in text
    assert all(char == "\n" or char.isprintable() for char in text)


def test_a_terminal_gets_a_table_that_goes(spec):
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    with Progress(spec, console) as progress:
        progress(begun())
        progress(started(0, 1001))
        progress(epoch(0, 1, 1011))
        progress._live.refresh()
    text = console.file.getvalue()
    assert "micro-F1" in text
    assert "\x1b[" in text


def test_a_live_table_shows_no_characters_that_a_terminal_obeys(spec):
    """Their texts may come from a stranger's folder."""
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    with Progress(spec, console, headline="of \x1b]0;forged\x07") as progress:
        progress(begun())
        progress(started(0, 1001))
        progress(ended(0, 1012, reason="\x1b[2Jgone"))
        progress._live.refresh()
    text = console.file.getvalue()
    assert "of ?]0;forged" in text
    assert "\x1b]0;" not in text
    assert "\x1b[2J" not in text


def test_progress_knows_of_earlier_attempts(spec):
    journal = Journal(spec.folder / "journal.jsonl")
    for event in (begun(), started(0, 1001), epoch(0, 1, 1011), ended(0, 1012)):
        fields = {key: value for key, value in event.items() if key not in ("event", "time")}
        journal.append(event["event"], **fields)
    with Progress(spec, Console(file=io.StringIO())) as progress:
        assert [trial.number for trial in progress.state.ended] == [0]


def test_sparklines_and_settings():
    assert sparkline([]) == ""
    assert sparkline([0.5, 0.5]) == "\u2581\u2581"
    assert sparkline([0.0, 1.0]) == "\u2581\u2588"
    assert len(sparkline(range(50))) == 10
    assert settings({"learning_rate": 1e-4, "batch_size": 16}) == "lr 0.0001 batch_size 16"


def test_a_confirmation_is_shown_beside_the_trials(spec):
    over = [
        event for n in range(4) for event in (started(n, 1001), epoch(n, 5, 1010), ended(n, 1011))
    ]
    rows = timed([plan(trials=(2, 0), seeds=(1, 2)), *run(2, 1, 0.8), *run(0, 1, 0.7, status=None)])
    state = fold(spec, begun(), *over, *rows[:1])
    assert "confirming: 0/4" in text_of(render(state, 80, 2e9), 80)
    assert eta_s(state) is None
    state = fold(spec, begun(), *over, *rows)
    text = text_of(render(state, 80, 2e9), 80)
    assert "confirming: 1/4: trial 0 seed 1 epoch 4" in text
    assert "trials 4/4: 4 completed" in text
    assert "scoring the best" not in text
    # the run took 5 s; three are left, for two at once
    assert eta_s(state) == pytest.approx(7.5)
    done = timed([*run(0, 1, 0.7), *run(2, 2, 0.8), *run(0, 2, 0.7)])
    assert "scoring the best trial" in text_of(
        render(fold(spec, begun(), *over, *rows, *done), 80, 2e9), 80
    )


def test_a_confirmation_in_plain_lines(spec):
    restarted = {"event": "confirm_restarted", "trial": 2, "seed": 1, "reason": "its worker died"}
    first, *rest = run(2, 1, 0.8, epochs=1, status="diverged", reason="a logit")
    rows = timed([plan(trials=(2, 0), seeds=(1, 2)), first, restarted, *rest])
    state, lines = ProgressState(spec=spec), []
    for row in [started(2, 1.0), *rows]:
        state = apply(state, row)
        lines.append(describe(state, row))
    assert lines[1:] == [
        "confirming trials 2, 0 with the seeds 1, 2: 4 runs",
        "trial 2 seed 1 started",
        "trial 2 seed 1 starts again: its worker died",
        "trial 2 seed 1 epoch 1/5: best 0.8000",
        "trial 2 seed 1 diverged (a logit): best 0.8000; 1/4 runs confirmed",
    ]
    given_up = {**plan((), (), None), "time": 9.0}
    assert describe(apply(state, given_up), given_up) == ""
