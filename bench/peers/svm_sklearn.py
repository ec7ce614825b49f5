"""The peer of bench/svm.py: scikit-learn's LinearSVC, which is LIBLINEAR, under GridSearchCV."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.svm import LinearSVC

Splits = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def search(
    X: NDArray[np.floating],
    y: NDArray[np.integer],
    Cs: NDArray[np.float64],
    splits: Splits,
    *,
    dual: bool,
    n_jobs: int = 2,
) -> GridSearchCV:
    """Grid search with refit at LIBLINEAR's default tolerance."""
    model = LinearSVC(dual=dual, random_state=0)
    grid = GridSearchCV(model, {"C": list(Cs)}, cv=splits, n_jobs=n_jobs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return grid.fit(X, y)


def fit(
    X: NDArray[np.floating],
    y: NDArray[np.integer],
    C: float,
    *,
    dual: bool,
    tol: float = 1e-4,
    max_iter: int = 1000,
) -> LinearSVC:
    """One fit."""
    model = LinearSVC(C=C, dual=dual, tol=tol, max_iter=max_iter, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)
