"""ASHA's rule, by itself and through the simulated clock; truths are recounted from the curves."""

import math
import pickle
from collections import defaultdict
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulated_clock import SimulatedClock
from search.asha import Asha, goes_on
from trainable.config import BEST_OBJECTIVE

scores = st.one_of(st.just(0.0), st.sampled_from([0.25, 0.5]), st.floats(0.0, 1.0))
curves = st.lists(st.lists(scores, min_size=13, max_size=13), min_size=1, max_size=25)
factors = st.integers(2, 4)


def result(epoch, value, **more):
    return {"epoch": epoch, BEST_OBJECTIVE: value, "done": False, "end_status": "", **more}


def trial(name):
    return SimpleNamespace(trial_id=name)


def pass_one(asha, name, epoch, value):
    return asha.on_trial_result(None, trial(name), result(epoch, value))


class Curves:
    """A searcher and the trials that it proposes: trial n has curve n, running best."""

    def __init__(self, curves):
        self.curves = curves

    def suggest(self, trial_id):
        number = int(trial_id[1:])
        return {"number": number, "curve": self.curves[number]}

    def on_trial_result(self, trial_id, result):
        pass

    def on_trial_complete(self, trial_id, result):
        pass

    @staticmethod
    def start(suggested):
        curve, speed = suggested["curve"], 1.0 + suggested["number"] % 3
        for epoch in range(1, len(curve) + 1):
            yield speed, result(epoch, max(curve[:epoch]), done=epoch == len(curve))


def simulate(all_curves, asha, workers=3):
    clock = SimulatedClock(
        Curves(all_curves), asha, Curves.start, workers=workers, trials=len(all_curves)
    )
    clock.run()
    return clock.trials


@given(st.lists(scores, min_size=1, max_size=40), factors, st.booleans())
def test_the_best_go_on_and_equals_are_treated_alike(values, factor, first_rung):
    passes = [goes_on(v, values, reduction_factor=factor, first_rung=first_rung) for v in values]
    for value, passed in zip(values, passes, strict=True):
        as_good = sum(other >= value for other in values)
        better = sum(other > value for other in values)
        if as_good <= len(values) / factor or better == 0:
            assert passed
        if better >= max(1, len(values) / factor):
            assert not passed
        assert all(p == passed for v, p in zip(values, passes, strict=True) if v == value)
    if len(set(values)) == len(values):
        assert sum(passes) == max(1, len(values) // factor)


def test_zeros_wait_at_the_first_rung_and_not_for_ever():
    mostly_zero = [0.5, 0.0, 0.0, 0.0, 0.0, 0.0]

    def zero(values, first_rung):
        return goes_on(0.0, values, reduction_factor=3, first_rung=first_rung)

    assert zero(mostly_zero, first_rung=True)  # two are kept, and one of them is at zero
    assert not zero(mostly_zero, first_rung=False)
    assert zero([0.0] * 6, first_rung=False)  # nobody has shown that more can be had
    assert not zero([0.5, 0.4, 0.0, 0.0, 0.0, 0.0], first_rung=True)
    # other ties go on wherever they are
    assert goes_on(0.4, [0.5, 0.4, 0.4, 0.1, 0.1, 0.1], reduction_factor=3, first_rung=False)


@settings(max_examples=60, deadline=None)
@given(curves, factors, st.integers(1, 4))
def test_a_trial_is_stopped_at_rungs_only_and_never_in_the_top_of_those_there(
    all_curves, factor, workers
):
    rungs = (1, 3, 9)
    asha = Asha(rungs, factor)
    at_rung = defaultdict(list)
    judge = asha.on_trial_result

    def watched(controller, trial, result):
        decision = judge(controller, trial, result)
        epoch, value = result["epoch"], result[BEST_OBJECTIVE]
        if epoch not in rungs:
            assert decision == "CONTINUE"
            return decision
        at_rung[epoch].append(value)
        as_good = sum(other >= value for other in at_rung[epoch])
        if as_good <= len(at_rung[epoch]) / factor:
            assert decision == "CONTINUE"
        return decision

    asha.on_trial_result = watched
    trials = simulate(all_curves, asha, workers)
    assert len(trials) == len(all_curves)
    for rung in rungs:  # each trial once at each rung that it came to
        reached = [t for t in trials if t.last_result["epoch"] >= rung]
        assert sorted(asha.rungs[rung].values()) == sorted(
            max(all_curves[t.config["number"]][:rung]) for t in reached
        )
    for found in trials:
        assert found.last_result["epoch"] in (*rungs, 13)


@settings(max_examples=60, deadline=None)
@given(curves, factors, st.data())
def test_rungs_rebuilt_from_the_past_are_those_of_an_undisturbed_search(all_curves, factor, data):
    whole = Asha((1, 3, 9), factor)
    past = simulate(all_curves, whole)
    rebuilt = Asha((1, 3, 9), factor)
    for found in data.draw(st.permutations(past)):
        values = {row["epoch"]: row[BEST_OBJECTIVE] for row in found.history}
        rebuilt.remember(found.trial_id, values)
    assert rebuilt.rungs == whole.rungs
    for epoch in (1, 3, 9):
        value = data.draw(scores)
        assert pass_one(rebuilt, "new", epoch, value) == pass_one(whole, "new", epoch, value)


def test_a_trial_that_jumps_is_judged_at_each_rung_and_leaves_no_late_score():
    asha = Asha((2, 4), 2)
    for name, value in (("a", 0.5), ("b", 0.6)):
        asha.remember(name, {2: value})
    asha.remember("b", {2: 0.6, 4: 0.9})
    assert pass_one(asha, "low", 5, 0.4) == "STOP"  # at rung 2, and not seen at rung 4
    assert pass_one(asha, "middle", 4, 0.7) == "STOP"  # at rung 4
    assert pass_one(asha, "high", 7, 0.95) == "CONTINUE"
    assert {rung: sorted(seen) for rung, seen in asha.rungs.items()} == {
        2: ["a", "b"],
        4: ["b", "middle"],
    }


def test_a_trial_that_starts_again_is_not_judged_twice():
    asha = Asha((2, 4), 2)
    assert pass_one(asha, "a", 2, 0.5) == "CONTINUE"
    assert pass_one(asha, "b", 2, 0.6) == "CONTINUE"
    # its worker died; a third of what it had, and others have passed it since
    assert pass_one(asha, "a", 1, 0.1) == "CONTINUE"
    assert pass_one(asha, "a", 2, 0.2) == "CONTINUE"
    assert asha.rungs[2] == {"a": 0.5, "b": 0.6}
    assert pass_one(asha, "a", 4, 0.5) == "CONTINUE"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_never_goes_on_and_is_not_compared_with(value):
    asha = Asha((2,), 2)
    for epoch in (1, 2, 3):
        assert pass_one(asha, str(epoch), epoch, value) == "STOP"
        asha.on_trial_complete(None, trial(str(epoch)), result(epoch, value))
    assert asha.rungs[2] == {}
    assert pass_one(asha, "a", 2, 0.0) == "CONTINUE"


def test_the_last_epoch_counts_where_it_is_a_rung_and_a_failed_one_does_not():
    asha = Asha((2, 4), 2)
    asha.on_trial_complete(None, trial("short"), result(2, 0.5, done=True))
    asha.on_trial_complete(None, trial("broken"), result(4, 0.9, end_status="diverged"))
    asha.on_trial_complete(None, trial("nothing"), {"done": True})
    assert asha.rungs == {2: {"short": 0.5}, 4: {}}


def test_it_survives_pickle_and_tells_of_itself():
    asha = Asha((2, 4), 2)
    pass_one(asha, "a", 2, 0.5)
    again = pickle.loads(pickle.dumps(asha))
    assert again.rungs == asha.rungs
    assert again.metric == BEST_OBJECTIVE
    assert again.debug_string() == "ASHA: 1 at epoch 2, 0 at epoch 4"
    assert pass_one(Asha((), 2), "a", 5, 0.0) == "CONTINUE"
