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
    with pytest.raises(ValueError, match="one row per label"):
        fit_rows(X[:30], y, 1.0)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_cross_validate_large__finds_what_the_gram_matrix_finds(n_classes, monkeypatch) -> None:
    X, y = _counts(240, 500, n_classes)
    labels, folds, Cs = y.astype(str), stratified_folds(y), (0.1, 1.0, 3.0)
    monkeypatch.setattr(sparse, "CV_TOL", 1e-6)  # of so few rows, as exact as theirs
    C, accuracy, decisions, correct = sparse.cross_validate_large(X, labels, Cs, folds)
    assert C in Cs
    exact = cross_validate(X, labels, [C], folds)
    assert accuracy == pytest.approx(exact.accuracy[0], abs=0.01)
    np.testing.assert_allclose(decisions, exact.decisions, atol=0.02)
    assert correct.mean() == accuracy
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


@pytest.mark.parametrize("C", [0.1, 1.0, 100.0])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_solve_sparse__reaches_the_objective_of_liblinear(C) -> None:
    X, y = _counts(400, 600, 4)
    Z = sparse.hold_sparse(X, "l2")
    Y = np.where(y[:, None] == np.arange(4), 1.0, -1.0)

    def objective(W: np.ndarray) -> np.ndarray:
        return 0.5 * (W**2).sum(axis=0) + C * (np.maximum(1 - Y * (Z @ W), 0) ** 2).sum(axis=0)

    theirs = LinearSVC(C=C, tol=1e-8, fit_intercept=False, max_iter=100_000).fit(Z, y)
    least = objective(theirs.coef_.T)
    ours = sparse.solve_sparse(Z.astype(np.float32), Y.astype(np.float32), C, tol=1e-5)
    np.testing.assert_allclose(objective(ours.astype(float)), least, rtol=1e-3)
    again = sparse.solve_sparse(Z.astype(np.float32), Y.astype(np.float32), C, tol=1e-5, start=ours)
    np.testing.assert_allclose(objective(again.astype(float)), least, rtol=1e-3)


@pytest.mark.parametrize(
    ("accuracies", "best", "n_tried"),
    [((1, 2, 3, 4, 3, 2), 3, 3), ((6, 5, 4, 3, 2, 1), 0, 4), ((1, 1, 1, 2, 3, 4), 5, 4), ((4, 4, 4, 4, 4, 4), 0, 5)],
)  # fmt: skip
def test_climb_costs__ends_at_a_peak_and_prefers_the_smaller(accuracies, best, n_tried) -> None:
    Cs = (0.01, 0.1, 0.3, 1.0, 10.0, 100.0)
    tried = set()

    def n_correct(C: float) -> int:
        tried.add(C)
        return accuracies[Cs.index(C)]

    assert sparse.climb_costs(n_correct, Cs) == Cs[best]
    assert len(tried) <= n_tried + 2


def test_climb_costs__one_cost_is_solved_all_the_same() -> None:
    assert sparse.climb_costs(lambda C: 0, [7.0]) == 7.0


def test_fit_large__weighs_examples_as_the_dense_svm_does() -> None:
    X, y = _counts(300, 200, 3)
    weight = np.random.default_rng(0).choice([0.0, 0.5, 3.0], 300)
    coef = sparse.fit_large(X, y, 1.0, weight=weight)[0]
    dense = LinearSVM(1.0, device="cpu").fit(X.toarray(), y, sample_weight=weight)
    np.testing.assert_allclose(coef, dense.coef_, atol=0.02)
    np.testing.assert_allclose(fit_rows(X, y, 1.0, sample_weight=weight)[0], dense.coef_, atol=2e-3)


@pytest.mark.parametrize("n_dense", [0, 3, 40])
def test_sparse_gram__dense_columns_among_sparse_ones(n_dense) -> None:
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((40, 300)) < 0.02, rng.random((40, 300)), 0.0)
    counts = scipy.sparse.coo_array(dense)
    Z = scipy.sparse.csr_array(scipy.sparse.hstack([counts, rng.normal(size=(40, n_dense))]))
    np.testing.assert_allclose(sparse.sparse_gram(Z), Z.toarray() @ Z.toarray().T, atol=1e-12)
    np.testing.assert_allclose(
        sparse.sparse_gram(Z[:, 300:]), (Z[:, 300:] @ Z[:, 300:].T).toarray()
    )
