from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headstart.experiments.correlation import rank_correlation, too_few


def test_rank_correlation__by_hand() -> None:
    found = rank_correlation([1, 2, 3, 4], [10, 20, 40, 30])
    # 5 pairs of 6 in the same order; differences of ranks 0, 0, 1, 1.
    assert found.kendall == pytest.approx((5 - 1) / 6)
    assert found.spearman == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert not found.is_significant


def test_rank_correlation__five_in_order_tell_and_four_do_not() -> None:
    assert rank_correlation(range(5), range(5)).is_significant
    assert rank_correlation(range(5), range(5)).p_value == pytest.approx(2 / 120)
    assert not rank_correlation(range(4), range(4)).is_significant


def test_rank_correlation__none_where_there_is_no_order() -> None:
    assert rank_correlation([1, 2], [1, 2]).kendall is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]).kendall is None
    assert rank_correlation([1, 2, 3], [1, 1, 1]).is_significant is False


def test_rank_correlation__interval_is_that_of_resampled_candidates() -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(size=14)
    b = a + rng.normal(size=14)
    found = rank_correlation(a, b)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.kendall < found.high
    drawn = rng.integers(0, 14, (400, 14))
    taus = [stats.kendalltau(a[rows], b[rows]).statistic for rows in drawn]
    assert (found.low, found.high) == pytest.approx(np.quantile(taus, [0.025, 0.975]), abs=0.12)
    assert rank_correlation(range(4), range(4)).low is None
    assert rank_correlation(range(5), range(5)).low == pytest.approx(1)


def test_too_few__says_how_often_chance_does_as_well() -> None:
    assert "1 candidate is too few" in too_few(1)
    assert "once in 3" in too_few(3)
    assert "once in 12" in too_few(4)
    assert too_few(5) == ""
