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
    assert found.r2 is not None
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


@pytest.mark.parametrize("n", [1, 5])
def test_number_figures__have_no_r2_of_equal_numbers(n: int) -> None:
    found = number_figures(np.full(n, 0.1), np.arange(float(n)), mean=3, half_width=None)
    assert found.r2 is None
    assert found.trivial_r2 is None
    assert found.coverage is None
    assert found.mae.value == pytest.approx(np.abs(np.arange(n) - 0.1).mean())


@pytest.mark.parametrize(("offset", "scale"), [(20_240_115, 10), (-1.7e9, 30), (0, 1e-60)])
def test_number_figures__do_not_depend_on_offset_and_unit(offset: float, scale: float) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=40)
    predicted = y + rng.normal(0, 0.3, 40)
    plain = number_figures(y, predicted, mean=0.1, half_width=None).r2
    moved = number_figures(
        offset + scale * y, offset + scale * predicted, mean=offset + scale * 0.1, half_width=None
    ).r2
    assert plain is not None
    assert moved is not None
    assert tuple(moved) == pytest.approx(tuple(plain), abs=1e-5)


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


def test_conformal_half_width__holds_for_new_groups() -> None:
    rng = np.random.default_rng(0)

    def drawn() -> np.ndarray:
        return (rng.normal(size=(12, 1)) + 0.2 * rng.normal(size=(12, 10))).ravel()

    groups = [str(i // 10) for i in range(110)]
    held = []
    for _ in range(400):
        residuals = drawn()
        width = conformal_half_width(residuals[:110], groups=groups)
        held.append((np.abs(residuals[110:]) <= width).mean())
    assert np.mean(held) >= 0.88
    assert conformal_half_width(np.ones(80), groups=groups[:80]) == math.inf
