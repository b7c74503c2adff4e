"""Text of users and files reaches the terminal as it is: no markup, no emoji."""

import io

from rich.console import Console
from rich.table import Table

from search.chosen import chosen_table
from search.console import Terminal
from search.progress import render
from search.progress_state import ProgressState, apply
from tests.small_search import small_spec

ODD = "/e[x]/[/b]/[bold]/:smile:"


def test_an_encoder_with_brackets_is_shown_as_it_is(tmp_path, capsys):
    spec = small_spec(tmp_path)
    spec = spec.replace(config=spec.config.replace(encoder=ODD))
    terminal = Terminal()
    terminal.show(chosen_table(spec))
    terminal.say(ODD)
    terminal.note(ODD)
    terminal.warn(ODD)
    out, err = capsys.readouterr()
    assert out.count(ODD) == 3
    assert err == f"warning: {ODD}\n"


def test_progress_of_features_leaves_no_trace_when_done():
    file = io.StringIO()
    terminal = Terminal(Console(file=file, width=80, force_terminal=True))
    with terminal.progress() as on_progress:
        on_progress("train", 500, 1000)
        on_progress("train", 1000, 1000)
        on_progress("val", 10, 100)
    assert "features of train" in file.getvalue()
    assert "features of val" in file.getvalue()
    quiet = io.StringIO()
    with Terminal(Console(file=quiet, width=80)).progress() as on_progress:
        on_progress("train", 500, 1000)
    assert "features" not in quiet.getvalue()


def test_cells_of_any_table_are_no_markup(capsys):
    table = Table(box=None, title=ODD)
    table.add_column(ODD)
    table.add_row(ODD)
    Terminal().show(table)
    assert capsys.readouterr().out.count(ODD) == 3
    file = io.StringIO()
    Terminal(Console(file=file, width=80)).show("[/b]")
    assert file.getvalue() == "\n[/b]\n"


def test_the_live_view_reads_no_markup(tmp_path, capsys):
    state = ProgressState(spec=small_spec(tmp_path))
    start = {"event": "trial_started", "time": 1.0, "trial": 0, "params": {"x": ODD}}
    state = apply(apply(state, {"event": "search_started", "time": 1.0, "attempt": 1}), start)
    Terminal().out.print(render(state, 200, 2.0), width=200)
    assert "[x]/[/b]/[" in ODD[:16]
    assert ODD[:16] in capsys.readouterr().out  # the rest is cut at the edge


def test_what_a_terminal_would_obey_is_shown_as_a_question_mark(capsys):
    terminal = Terminal()
    table = Table("a")
    table.add_row("x\x1b[31my")
    terminal.show(table)
    terminal.say("one\ttwo \x1b]0;title\x07")
    terminal.warn("three\x9b2J")
    out, err = capsys.readouterr()
    assert "x?[31my" in out
    assert "?]0;title" in out
    assert err == "warning: three?2J\n"
    assert "\x1b" not in out


def test_last_words_give_the_cursor_back():
    out, err = io.StringIO(), io.StringIO()
    Terminal(Console(file=out, force_terminal=True), Console(file=err)).last_words("gone")
    assert (out.getvalue(), err.getvalue()) == ("\x1b[?25h", "error: gone\n")
    quiet = io.StringIO()
    Terminal(Console(file=quiet), Console(file=err)).last_words("gone")
    assert quiet.getvalue() == ""
