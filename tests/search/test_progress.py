"""The live view: the table of a terminal, the lines of a log."""

import io

import pytest
from rich.console import Console

from search.journal import Journal
from search.progress import Progress, describe, render, settings, sparkline
from search.progress_state import ProgressState, apply, eta_s
from tests.confirmed_search import plan, run, timed
from tests.progress_events import begun, ended, epoch, fold, progress_spec, started, text_of


@pytest.fixture
def spec(tmp_path):
    return progress_spec(tmp_path)


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
