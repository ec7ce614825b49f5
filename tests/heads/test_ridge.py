"""The closed form against fitting again without each fold."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.heads import stratified_folds
from headstart.heads.ridge import cross_validate_ridge


def problem(n: int = 90, d: int = 12, K: int = 3) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % K
    X = rng.normal(size=(n, d)) + 0.9 * rng.normal(size=(K, d))[y]
    return X / np.linalg.norm(X, axis=1, keepdims=True), y


def refitted(
    X: NDArray[np.float64], y: NDArray[np.int64], folds: NDArray[np.int64], ridge: float
) -> NDArray[np.bool_]:
    """Each fold scored by weights that were fitted without it."""
    Z = np.column_stack([X, np.ones(len(X))])
    Y = np.where(y[:, None] == np.unique(y), 1.0, -1.0)
    correct = np.empty(len(y), dtype=bool)
    for fold in np.unique(folds):
        out = folds == fold
        A = Z[~out]
        W = np.linalg.solve(A.T @ A + ridge * np.eye(A.shape[1]), A.T @ Y[~out])
        correct[out] = (Z[out] @ W).argmax(axis=1) == y[out]
    return correct


@pytest.mark.parametrize("ridge", [0.1, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_cross_validate_ridge__equals_fitting_again(ridge: float, n_classes: int) -> None:
    X, y = problem(K=n_classes)
    folds = np.array([stratified_folds(y, n_folds=5, seed=s) for s in range(3)])
    found = cross_validate_ridge(X @ X.T, y, folds, ridge)
    expected = [refitted(X, y, division, ridge) for division in folds]
    assert 0.5 < np.mean(expected) < 1
    np.testing.assert_array_equal(found, expected)


def test_cross_validate_ridge__knows_nothing_of_a_held_out_label() -> None:
    X, y = problem()
    folds = stratified_folds(y, n_folds=3)[None]
    before = cross_validate_ridge(X @ X.T, y, folds)
    changed = y.copy()
    out = np.flatnonzero(folds[0] == 0)
    changed[out] = (y[out] + 1) % 3
    after = cross_validate_ridge(X @ X.T, changed, folds)
    # Predictions of the fold stay, so no image that was recognised can be so under another label.
    assert not (before[0, out] & after[0, out]).any()


def test_cross_validate_ridge__a_singular_gram_matrix_is_no_obstacle() -> None:
    y = np.arange(40) % 2
    folds = stratified_folds(y, n_folds=4)[None]
    X = np.where(y[:, None] == 1, 1.0, -1.0)
    assert cross_validate_ridge(X @ X.T, y, folds, 1e-3).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gram": np.eye(3)}, "gram must be"),
        ({"folds": np.zeros(4, dtype=int)}, "folds"),
        ({"ridge": 0.0}, "ridge must be above 0"),
        ({"y": np.zeros(4)}, "at least 2 classes"),
        ({"gram": -9 * np.eye(4)}, "not a Gram matrix"),
    ],
)
def test_cross_validate_ridge__says_what_is_wrong(change: dict[str, object], words: str) -> None:
    given: dict[str, object] = {
        "gram": np.eye(4), "y": np.array([0, 1, 0, 1]), "folds": np.array([[0, 0, 1, 1]]),
    }  # fmt: skip
    with pytest.raises(ValueError, match=words):
        cross_validate_ridge(**{**given, **change})  # type: ignore[arg-type]
