from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from headstart.course.labs import spread
from headstart.heads import is_significant


def test_over_seeds__is_students_interval() -> None:
    values = [1.0, 2.0, 4.0]
    found = spread.over_seeds(values)
    error = np.std(values, ddof=1) / math.sqrt(3)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=error)
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high))


def test_over_seeds__one_seed_tells_nothing_of_the_spread() -> None:
    found = spread.over_seeds([0.5])
    assert tuple(found) == (0.5, -math.inf, math.inf)
    assert spread.written(found) == "0.5 [–, –]"
    assert not is_significant(found)


def test_over_seeds__keeps_the_ends_within_the_bounds() -> None:
    found = spread.over_seeds([1.0, 30.0], at_least=0.0, at_most=180.0)
    assert (found.low, found.high) == (0.0, 180.0)


def test_over_seeds__needs_a_value() -> None:
    with pytest.raises(ValueError, match="at least one"):
        spread.over_seeds([])


def test_share_over_seeds__stays_between_zero_and_one() -> None:
    found = spread.share_over_seeds([0.9, 1.0, 1.0])
    assert found.high == 1
    assert found.low < 0.9


def test_ratio_over_seeds__is_the_geometric_mean() -> None:
    found = spread.ratio_over_seeds([2.0, 8.0], [1.0, 1.0])
    assert found.value == pytest.approx(4)
    assert found.low * found.high == pytest.approx(16)


@settings(deadline=None)  # the first call imports scipy.stats
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6).filter(lambda v: np.ptp(v) > 1e-3))
def test_over_seeds__is_significant_exactly_where_the_t_test_is(values: list[float]) -> None:
    p_value = stats.ttest_1samp(values, 0).pvalue
    assume(abs(p_value - 0.05) > 1e-9)
    assert is_significant(spread.over_seeds(values)) == (p_value < 0.05)


def test_over_seeds__differences_that_are_zero_but_for_rounding_are_not_significant() -> None:
    found = spread.over_seeds(spread.differences([0.3, 0.3, 0.3], [0.1 + 0.2] * 3))
    assert found.value != 0
    assert not is_significant(found)
