"""ASHA that pauses: who goes on, and when."""

from benchmarks.promotion import PromotionAsha
from benchmarks.simulated_clock import SimulatedClock
from tests.search.test_asha import Curves


def run(tops, factor=2, workers=1):
    """Trials whose scores are flat; the numbers of those that went on from epochs 1 and 2."""
    curves = [[top] * 4 for top in tops]
    clock = SimulatedClock(
        Curves(curves),
        PromotionAsha((1, 2), factor),
        Curves.start,
        workers=workers,
        trials=len(tops),
    )
    clock.run()
    return [len(trial.history) for trial in clock.trials]


def test_the_better_half_goes_on_at_each_rung():
    assert run([0.1, 0.2, 0.3, 0.4]) == [1, 2, 4, 4]
    assert run([0.4, 0.3, 0.2, 0.1]) == [4, 2, 1, 1]
    assert run([0.4, 0.3, 0.2, 0.1], workers=3) == [4, 2, 1, 1]


def test_nobody_goes_on_alone():
    assert run([0.5]) == [1]
    assert run([0.5, 0.6], factor=3) == [1, 1]


def test_a_trial_that_others_have_overtaken_is_not_promoted_later():
    # of the first two the second goes on; the third is no better and waits for a fourth
    assert run([0.1, 0.3, 0.2]) == [1, 2, 1]
