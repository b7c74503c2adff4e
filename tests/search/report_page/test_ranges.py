import math

from hypothesis import given
from hypothesis import strategies as st

from search.report_page.ranges import at_bound, log_ticks, position
from spaces.dimension import Dimension

LINEAR = Dimension(name="gamma", low=0.0, high=4.0)
LOG = Dimension(name="learning_rate", low=1e-5, high=1e-3, log=True)
CHOICES = Dimension(name="lr_schedule", choices=("constant", "linear"))


@given(st.floats(0, 1))
def test_a_position_is_where_the_value_was_taken_from(share):
    assert math.isclose(position(LINEAR, 4.0 * share), share, abs_tol=1e-9)
    value = min(max(1e-5 * 100**share, 1e-5), 1e-3)
    assert math.isclose(position(LOG, value), share, abs_tol=1e-9)


def test_what_has_no_position():
    assert position(CHOICES, "linear") is None
    assert position(LINEAR, 5.0) is None
    assert position(LINEAR, None) is None
    assert at_bound(CHOICES, "linear") == ""


def test_bounds():
    assert [at_bound(LINEAR, x) for x in (0.0, 0.2, 0.21, 3.79, 3.8, 4.0)] == [
        *("lower", "lower", "", "", "upper", "upper"),
    ]


@given(st.floats(-6, 3), st.floats(0.5, 6))
def test_ticks_lie_inside_and_are_few(start, length):
    low, high = 10**start, 10 ** (start + length)
    ticks = log_ticks(low, high)
    assert all(low * 0.999 <= tick <= high * 1.001 for tick in ticks)
    assert 1 <= len(ticks) <= 7
