from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from headstart.heads.examples import normalize_rows
from headstart.heads.ridge_targets import HeldOutRidge, fit_targets, sweep_targets


def with_constant(X: np.ndarray) -> np.ndarray:
    return np.column_stack([normalize_rows(X, "l2"), np.ones(len(X))])


@pytest.mark.parametrize("shape", [(40, 7), (20, 60)])
def test_held_out_ridge__equals_a_fit_without_each_fold(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=shape).astype(np.float32), rng.normal(size=(shape[0], 3))
    folds = rng.permutation(shape[0]) % 4
    found = HeldOutRidge(X, T, folds).predict(0.3)
    Z = with_constant(X)
    for fold in range(4):
        own = folds == fold
        ridge = Ridge(alpha=0.3, fit_intercept=False).fit(Z[~own], T[~own])
        assert found[own] == pytest.approx(ridge.predict(Z[own]), abs=1e-4)
    coef, intercept = fit_targets(X, T, 0.3)
    ridge = Ridge(alpha=0.3, fit_intercept=False).fit(Z, T)
    assert np.column_stack([coef, intercept]) == pytest.approx(ridge.coef_, abs=1e-4)


def test_sweep_targets__climbs_to_the_best_strength() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 30)).astype(np.float32)
    T = X[:, :1] + rng.normal(0, 2, (60, 1))
    held_out = HeldOutRidge(X, T, np.arange(60) % 5)

    def merits(P: np.ndarray) -> np.ndarray:
        return -((P - T)[:, 0] ** 2)

    values = {r: merits(held_out.predict(r)).mean() for r in (0.01, 0.1, 1.0, 10.0, 100.0)}
    for first in values:
        tried, best, P = sweep_targets(held_out, merits, ridges=tuple(values), first=first)
        assert best == max(values, key=lambda r: values[r])
        assert tried[best].mean() == pytest.approx(values[best])
        assert merits(P).mean() == pytest.approx(values[best])


def test_held_out_ridge__needs_two_folds() -> None:
    with pytest.raises(ValueError, match="at least 2 folds"):
        HeldOutRidge(np.ones((3, 2), np.float32), np.ones((3, 1)), np.zeros(3, int))
