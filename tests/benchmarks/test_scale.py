"""Growth over documents and labels: small cases, and the arithmetic of the verdicts."""

import json

import pytest

from benchmarks.head_case import HeadCase
from benchmarks.scale import _growth, _time_row, main


def case(documents, epoch_s, work_bytes, labels=1000, *, scaled=False):
    return {
        "documents": documents,
        "labels": labels,
        "epoch_s": epoch_s,
        "step_s": epoch_s / documents * 10,
        "scaled": scaled,
        "peak_bytes": 10**9 + work_bytes,
        "work_bytes": work_bytes,
    }


def test_linear_time_and_a_dense_array_are_told():
    found = _growth([case(10, 9.0, 5), case(1000, 2.0, 10**6), case(11_000, 22.0, 10**6)])
    assert found["linear"]
    assert found["exponent"] == pytest.approx(1.0)
    assert found["ms_per_document"] == pytest.approx(2.0)
    assert not found["dense_array"]
    assert not _growth([case(1000, 2.0, 0), case(2000, 8.0, 0)])["linear"]
    # one byte for each label of each further document
    assert _growth([case(1000, 2.0, 0), case(2000, 4.0, 1000 * 1000)])["dense_array"]


@pytest.mark.parametrize(("more_s", "met"), [(10.0, True), (12.0, True), (13.0, False)])
def test_a_scaled_epoch_is_judged_by_its_steps(more_s, met):
    found = _growth([case(1000, 1.0, 0), case(10_000, more_s, 0, scaled=True)])
    assert found["judged_by"] == "step_ratio"
    assert found["step_ratio"] == pytest.approx(more_s / 10)
    assert found["exponent"] is None
    assert found["linear"] is met
    row = _time_row(found)
    assert row.value.startswith(f"ratio {more_s / 10:.2f}, ")
    words = "goal: constant cost of a document, judged by steps, no whole epoch"
    assert row.goal == f"{words}, {'met' if met else 'MISSED'}"
    # exponents of 1.11 pass where both epochs were whole
    whole = _growth([case(1000, 1.0, 0), case(10_000, 13.0, 0)])
    assert (whole["judged_by"], whole["linear"]) == ("exponent", True)
    assert _time_row(whole).goal == "goal: linear, met"


def test_a_case_is_scaled_where_its_epoch_is_too_long(monkeypatch):
    small = HeadCase(640, 50, 8)
    small.warm_up()
    whole = small.epoch(1000.0)
    assert (whole["steps"], whole["timed_steps"], whole["scaled"]) == (20, 20, False)
    large = HeadCase(3200, 50, 8)
    part = large.epoch(0.0)
    assert (part["steps"], part["timed_steps"], part["scaled"]) == (100, 40, True)
    assert part["documents"] == 3200
    assert part["epoch_s"] == pytest.approx(100 * part["step_s"])
    monkeypatch.setattr(large, "_steps", lambda count: count / 100)  # an epoch of a second
    assert large.epoch(1.01)["timed_steps"] == 100
    some = large.epoch(0.91)
    assert (some["timed_steps"], some["scaled"], some["epoch_s"]) == (45, True, pytest.approx(1))
    assert part["data_bytes"] > 3200 * 768 * 4
    assert part["peak_bytes"] > 0
    assert part["validation_s"] > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command(capsys):
    sizes = ["--documents", "320", "640", "--labels", "20", "--head-hidden", "8"]
    assert main([*sizes, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [c["documents"] for c in found["cases"]] == [320, 640]
    assert len(found["growth"]) == 1


def test_one_size_cannot_grow(capsys):
    assert main(["--documents", "320"]) == 2
    assert "--documents must name at least two sizes" in capsys.readouterr().err
