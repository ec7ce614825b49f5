"""Sparse features: the same optimum as LIBLINEAR's, the same answers as for dense ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from sklearn.svm import LinearSVC

from headstart.heads import (
    LinearSVM,
    cross_validate,
    fit_rows,
    one_row_a_class,
    sparse,
    stratified_folds,
)


def _counts(
    n: int, d: int, n_classes: int, seed: int = 0
) -> tuple[scipy.sparse.csr_array, np.ndarray]:
    """Rows of unit length such as TF-IDF gives, with classes that overlap."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    dense = rng.poisson(0.02, (n, d)) + rng.poisson(0.15, (n, d)) * (
        np.arange(d) % 40 == y[:, None]
    )
    dense = dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-12)
    return scipy.sparse.csr_array(dense), y


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("C", [0.3, 10.0])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_rows__is_the_optimum_of_liblinear(n_classes, C) -> None:
    X, y = _counts(300, 900, n_classes)
    coef, intercept = fit_rows(X, y, C, tol=1e-9)
    theirs = LinearSVC(C=C, tol=1e-10, max_iter=200_000).fit(X, y)
    rows = slice(None) if n_classes > 2 else slice(1, 2)
    np.testing.assert_allclose(coef[rows], theirs.coef_, atol=2e-4)
    np.testing.assert_allclose(intercept[rows], theirs.intercept_, atol=2e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_cross_validate__sparse_features_give_what_dense_ones_give(n_classes) -> None:
    X, y = _counts(240, 500, n_classes)
    folds = stratified_folds(y)
    sparse = cross_validate(X, y, (0.1, 1.0, 10.0), folds)
    dense = cross_validate(X.toarray(), y, (0.1, 1.0, 10.0), folds)
    np.testing.assert_allclose(sparse.decisions, dense.decisions, atol=1e-3)
    assert sparse.C == dense.C
    assert sparse.gap.max() <= 1e-5


def test_fit_rows__rows_of_any_length_count_the_same() -> None:
    X, y = _counts(120, 200, 3)
    scaled = scipy.sparse.diags_array(np.linspace(0.1, 9, 120)) @ X
    coef, intercept = fit_rows(scaled.tocsr(), y, 1.0)
    dense = one_row_a_class(LinearSVM(1.0, device="cpu").fit(X.toarray(), y))
    np.testing.assert_allclose(coef, dense[0], atol=1e-3)
    np.testing.assert_allclose(intercept, dense[1], atol=1e-3)


def test_cross_validate__refuses_sparse_features_that_are_not_finite_or_do_not_fit() -> None:
    X, y = _counts(40, 50, 2)
    X.data[X.indptr[7]] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity, first in row 7"):
        cross_validate(X, y, [1.0], stratified_folds(y))
    with pytest.raises(ValueError, match="one row a label"):
        fit_rows(X[:30], y, 1.0)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_cross_validate_large__finds_what_the_gram_matrix_finds(n_classes, monkeypatch) -> None:
    X, y = _counts(240, 500, n_classes)
    labels, folds, Cs = y.astype(str), stratified_folds(y), (0.1, 1.0, 3.0)
    best, accuracy, decisions, correct = sparse.cross_validate_large(X, labels, Cs, folds)
    exact = cross_validate(X, labels, Cs, folds)
    np.testing.assert_allclose(accuracy, exact.accuracy, atol=0.01)
    at_best = cross_validate(X, labels, [Cs[best]], folds)
    np.testing.assert_allclose(decisions, at_best.decisions, atol=0.02)
    assert correct.mean() == accuracy[best] == accuracy.max()
    held = fit_rows(X, labels, 1.0)
    monkeypatch.setattr(sparse, "MOST_SPARSE_ROWS", 100)
    large = fit_rows(X, labels, 1.0)
    np.testing.assert_allclose(large[0], held[0], atol=0.02)
    np.testing.assert_allclose(large[1], held[1], atol=0.02)


def test_cross_validate_large__a_class_that_the_other_folds_lack_is_never_predicted() -> None:
    X, y = _counts(60, 200, 3)
    labels = y.astype(str)
    folds = np.where(labels == "2", 0, 1 + np.arange(60) % 2)
    _, _, decisions, correct = sparse.cross_validate_large(X, labels, (1.0,), folds)
    assert not correct[labels == "2"].any()
    assert (decisions[labels == "2"].argmax(axis=1) != 2).all()
