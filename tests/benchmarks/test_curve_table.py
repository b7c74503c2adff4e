"""Tables of curves: what is written is read back; stopped runs; files that are none."""

import json

import pytest

from benchmarks.curve_table import CURVE_METRICS, Curve, append_curve, read_table, start_table
from trainable.errors import UsageError

HEAD = {"epochs": 3, "mu": 0.5}


def curve(number, *scores, loss="db", **more):
    return Curve(
        loss=loss,
        number=number,
        params={"learning_rate": 1e-3 * (number + 1)},
        metrics=dict.fromkeys(CURVE_METRICS, scores),
        epoch_s=tuple(0.5 for _ in scores),
        **more,
    )


def test_a_table_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "new" / "table.jsonl"
    assert start_table(path, HEAD).curves == ()
    curves = [curve(1, 0.1, 0.3, 0.2), curve(0, 0.5), curve(0, 0.1, 0.2, 0.3, loss="bce")]
    for one in curves:
        append_curve(path, one)
    table = start_table(path, HEAD)
    assert table.curves == tuple(curves)
    assert table.epochs == 3
    assert table.losses == ("db", "bce")
    assert [found.number for found in table.of("db")] == [0, 1]
    assert read_table(path) == table


def test_scores_are_rounded_to_five_digits(tmp_path):
    path = tmp_path / "table.jsonl"
    start_table(path, HEAD)
    append_curve(path, curve(0, 0.123456789))
    assert read_table(path).curves[0].scores == (0.12346,)


def test_best_scores():
    rising = curve(0, 0.2, 0.5, 0.4)
    assert (rising.best, rising.best_until(1), rising.best_until(3)) == (0.5, 0.2, 0.5)
    assert (curve(0, ended="diverged").best, curve(0).best_until(2)) == (0.0, 0.0)


def test_a_line_that_was_cut_off_is_written_again(tmp_path):
    path = tmp_path / "table.jsonl"
    start_table(path, HEAD)
    append_curve(path, curve(0, 0.5))
    whole = path.read_text()
    path.write_text(whole + curve(1, 0.6).to_line()[:40])
    assert [found.number for found in start_table(path, HEAD).curves] == [0]
    assert path.read_text() == whole
    append_curve(path, curve(1, 0.6))
    assert [found.number for found in read_table(path).curves] == [0, 1]


def test_a_table_of_something_else_is_not_gone_on_with(tmp_path):
    path = tmp_path / "table.jsonl"
    start_table(path, HEAD)
    with pytest.raises(UsageError, match=r"its mu is 0\.5, and this run's is 0\.6: name"):
        start_table(path, {**HEAD, "mu": 0.6})


@pytest.mark.parametrize(
    "text",
    [
        *("", "{\n", '{"epochs": 3}\n', "[1]\n", '{"format": "other"}\n'),
        json.dumps({"format": "longtail-search/curves"}) + '\n{"loss": "db"}\n',
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, text):
    path = tmp_path / "table.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match="not a table of curves") as told:
        read_table(path)
    assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match="cannot be read as a table"):
        read_table(tmp_path / "none.jsonl")
