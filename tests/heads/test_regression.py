from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from headstart.heads.regression import conformal_half_width, number_figures, squared_merits


def test_number_figures__equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(5, 2, 90)
    predicted = y + rng.normal(0, 1, 90)
    found = number_figures(y, predicted, mean=4.5, half_width=1.5)
    assert found.r2.value == pytest.approx(r2_score(y, predicted))
    assert found.mae.value == pytest.approx(mean_absolute_error(y, predicted))
    assert found.rmse.value == pytest.approx(root_mean_squared_error(y, predicted))
    assert found.r2.low < found.r2.value < found.r2.high
    mean = DummyRegressor(strategy="constant", constant=4.5).fit(y, y).predict(y[:, None])
    assert found.trivial_r2 == pytest.approx(r2_score(y, mean))
    assert found.trivial_mae == pytest.approx(mean_absolute_error(y, mean))
    assert found.coverage is not None
    assert found.coverage.value == pytest.approx((np.abs(predicted - y) <= 1.5).mean())
    merits = squared_merits(y, predicted)
    assert merits.mean() == pytest.approx(found.r2.value)
    half = 1.96 * merits.std() / np.sqrt(90)
    assert half == pytest.approx((found.r2.high - found.r2.low) / 2, rel=0.25)


def test_number_figures__of_equal_numbers_say_that_nothing_is_known() -> None:
    found = number_figures(np.full(5, 3.0), np.arange(5.0), mean=3, half_width=None)
    assert found.r2.low == -math.inf
    assert found.coverage is None


def test_conformal_half_width__covers_what_is_asked_by_simulation() -> None:
    rng = np.random.default_rng(0)
    held = [
        np.abs(rng.standard_t(3)) <= conformal_half_width(rng.standard_t(3, 39))
        for _ in range(4_000)
    ]
    assert np.mean(held) == pytest.approx(0.9, abs=0.015)


def test_conformal_half_width__is_infinite_with_too_few_examples() -> None:
    assert conformal_half_width(np.arange(8.0)) == math.inf
    assert conformal_half_width(np.arange(9.0)) == 8
