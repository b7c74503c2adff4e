"""The losses of a search over several, side by side on its report."""

import dataclasses

import pytest

from search.report_page.losses import losses_section
from search.report_page.parts import Figure, Page, Table, Text
from search.summary import summarize
from tests.auto_search import auto_record, auto_spec
from tests.report_figures import check


@pytest.fixture
def record(tmp_path):
    return auto_record(tmp_path)


def test_the_best_loss_comes_first(record):
    section = losses_section(record, summarize(record))
    check(Page(title="", subtitle="", status="", sections=(section,)))
    figure, table = section.parts
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    assert table.rows == (
        ("cb-ntr", "2", "2", "50.00", "80.00", "4"),
        ("db", "1", "1", "60.00", "60.00", "0"),
        ("fl", "2", "0", "20.00", "30.00", "5"),
    )
    assert table.strong == {0}
    lines, paper, best = figure.traces
    assert lines["x"] == [50.0, 80.0, None, 60.0, 60.0, None, 20.0, 30.0, None]
    assert (paper["x"], best["x"]) == ([50.0, 60.0, 20.0], [80.0, 60.0, 30.0])
    assert figure.layout["yaxis"]["categoryarray"] == ["fl", "db", "cb-ntr"]  # upwards


def test_a_loss_whose_paper_values_were_not_scored(record):
    """Nothing to draw a line from."""
    record = dataclasses.replace(record, trials=record.trials[4:])
    figure, table = losses_section(record, summarize(record)).parts
    assert [row[:5] for row in table.rows] == [
        ("cb-ntr", "1", "1", "-", "80.00"),
        ("fl", "1", "0", "-", "30.00"),
        ("db", "0", "0", "-", "-"),
    ]
    assert (figure.traces[0]["x"], figure.traces[2]["x"]) == ([], [80.0, 30.0])


def test_before_the_first_score_and_with_one_loss(record):
    empty = dataclasses.replace(record, trials=())
    text, table = losses_section(empty, summarize(empty)).parts
    assert isinstance(text, Text)
    assert table.strong == frozenset()
    single = dataclasses.replace(record, spec=auto_spec("db"), trials=record.trials[:1])
    assert losses_section(single, summarize(single)) is None
