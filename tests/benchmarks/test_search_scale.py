"""Growth and rest by hand, the timer against known work; and one tiny search of each kind."""

import json
import threading
import time

import pytest

from benchmarks.part_timer import PartTimer
from benchmarks.search_scale import growth_of, main, rows_of


def case(trials, ms, **more):
    return {
        "trials": trials,
        "cpu_ms_per_trial": ms,
        "cpu_ms_per_late_trial": ms,
        "wall_ms_per_trial": 2 * ms,
        "parts_ms_per_trial": {"study": 10.0, "MLflow": 5.0},
        "tracked": True,
        "peak_bytes": 2**30,
        "kib_per_trial": 3.0,
        "summary_cpu_s": 1.0,
        "plots_cpu_s": 2.0,
        **more,
    }


def test_growth_by_hand():
    assert growth_of([case(100, 20.0), case(1_000, 20.0), case(10_000, 200.0)]) == [
        pytest.approx(0.0),
        pytest.approx(1.0),
    ]
    assert growth_of([case(100, 20.0)]) == []


@pytest.mark.parametrize(
    ("costs", "verdicts"),
    [((20.0, 50.0, 200.0), ["met", "met"]), ((20.0, 51.0, 600.0), ["MISSED", "MISSED"])],
)
def test_the_goal_is_judged_at_1000_trials(costs, verdicts):
    cases = [case(n, ms) for n, ms in zip((100, 1_000, 10_000), costs, strict=True)]
    rows = rows_of("kind", cases)
    assert [row.goal.rpartition(", ")[2] for row in rows if row.goal] == verdicts
    judged = next(row for row in rows if row.goal)
    assert judged.what == "kind: 1,000 trials"
    # 20 ms, less 10 of the study, less the 5 of MLflow
    assert next(r.value for r in rows if r.what == "  Tune and the rest") == "5.0 ms"


def work(seconds):
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


class Worker:
    def outer(self):
        work(0.05)
        self.inner()

    def inner(self):
        work(0.1)
        time.sleep(0.2)  # costs no CPU

    def broken(self):
        work(0.03)
        raise ZeroDivisionError


def test_a_part_is_timed_without_the_parts_that_it_calls():
    timer, worker = PartTimer(), Worker()
    timer.watch("outer", Worker, ("outer", "broken"))
    timer.watch("inner", Worker, ("inner",))
    worker.outer()
    with pytest.raises(ZeroDivisionError):
        worker.broken()
    other = threading.Thread(target=worker.inner)
    other.start()
    other.join()
    assert timer.seconds["outer"] == pytest.approx(0.08, abs=0.03)
    assert timer.seconds["inner"] == pytest.approx(0.2, abs=0.05)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_tiny_search_of_each_kind(capsys):
    assert main(["--trials", "4", "--epochs", "2", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [case["tracked"] for case in figures["cases"]] == [False, True]
    for found in figures["cases"]:
        assert found["trials"] == sum(found["statuses"].values()) == 4
        during = found["parts_ms_per_trial"]
        assert set(during) == {
            *("study", "searcher", "journal", "progress", "recorder", "reaper", "TPE")
        }
        assert 0 < sum(during.values()) < found["cpu_ms_per_trial"]
        assert found["peak_bytes"] > 100 * 2**20
    assert figures["cases"][1]["mlflow_complete"]
    assert figures["tune_alone"][0]["trials"] == 4
