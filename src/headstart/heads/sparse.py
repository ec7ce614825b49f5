"""Sparse features, such as counts of words: what the solvers need to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.heads.examples import Normalize

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Above this many sparse examples the Gram matrix (float64 and float32) passes 2.7 GB.
MOST_SPARSE_ROWS = 15_000


def hold_sparse(X: Any, normalize: Normalize) -> csr_array:
    """All rows with the constant one as the last column, float64."""
    from scipy.sparse import csr_array, hstack
    from sklearn.preprocessing import normalize as unit_rows

    Z = csr_array(X, dtype=np.float64)
    if normalize == "power":
        Z = Z.sign() * abs(Z).sqrt()
    if normalize != "none":
        Z = unit_rows(Z)
    return csr_array(hstack([Z, np.ones((Z.shape[0], 1))]))


def require_finite(X: Any) -> None:
    """Raise where a stored value is not finite.

    Raises
    ------
    ValueError
    """
    rows = X.tocoo()
    if not (finite := np.isfinite(rows.data)).all():
        row = int(rows.row[~finite].min())
        raise ValueError(f"X holds NaN or infinity, first in row {row}")


def cross_validate_large(
    X: csr_array, y: NDArray[np.str_], Cs: Sequence[float], folds: NDArray[np.integer]
) -> tuple[int, NDArray[np.float64], NDArray[np.float32], NDArray[np.bool_]]:
    """What `cross_validate` finds, by LIBLINEAR, for more examples than a Gram matrix can hold.

    Parameters
    ----------
    X : sparse array of shape (n_samples, n_features)
        Features; rows are brought to unit length.
    y : array of shape (n_samples,)
        Labels of K >= 2 classes.
    Cs : sequence of float > 0
        Ascending.
    folds : int array (n_samples,)

    Returns
    -------
    best : int
        Position of the most accurate C, the smallest of equals.
    accuracy : float64 array (n_C,)
    decisions : float32 array (n_samples, K)
        Out-of-fold scores at the best C; two classes have the columns ``-f`` and ``f``.
    correct : bool array (n_samples,)
        At the best C.
    """
    classes = np.unique(y)
    scores = np.empty((len(Cs), len(y), len(classes)), dtype=np.float32)
    Z = hold_sparse(X, "l2")
    for i, C in enumerate(Cs):
        for fold in np.unique(folds):
            train, test = folds != fold, np.flatnonzero(folds == fold)
            coef, seen = liblinear(Z[np.flatnonzero(train)], y[train], C)
            found = Z[test] @ coef.T
            # A class that the other folds lack is never predicted.
            scores[i, test] = found.min() - 1
            scores[i, test[:, None], np.searchsorted(classes, seen)] = found
    correct = classes[scores.argmax(axis=2)] == y
    accuracy = correct.mean(axis=1)
    best = int(accuracy.argmax())
    return best, accuracy, scores[best], correct[best]


def liblinear(
    Z: csr_array, y: NDArray[np.str_], C: float
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Weights (K, d + 1) of the linear SVM on rows of `hold_sparse`, and the classes of the rows."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    made = LinearSVC(C=C, fit_intercept=False, tol=1e-3, max_iter=2000)
    with warnings.catch_warnings():
        # At a large C it may stop short of its tolerance; cross-validation judges what came out.
        warnings.simplefilter("ignore", ConvergenceWarning)
        made.fit(Z, y)
    coef = made.coef_ if len(made.coef_) > 1 else np.vstack([-made.coef_, made.coef_])
    return coef, made.classes_
