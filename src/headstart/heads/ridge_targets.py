"""Ridge regression of any targets, a column each, with exact held-out predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.heads.examples import Rows, hold
from headstart.heads.ridge import ridge_solve

# Weights of the squared norm, for rows of unit length.
RIDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
FIRST_RIDGE = 0.1

Values = NDArray[np.float64]


class HeldOutRidge:
    """Held-out predictions at any strength, of rows of unit length with a constant feature.

    With ``G = (Z Z^T + r I)^-1`` and ``A = G T``, the residuals of fold ``F``, had it been left out,
    are ``(G_FF)^-1 A_F`` (An, Liu and Venkatesh 2007). With more examples than features the products
    of features are summed instead, and a fold is left out by subtraction.

    Parameters
    ----------
    X : ndarray or Rows of shape (n, d)
    T : float64 array (n, m)
        Targets.
    folds : int array (n,)
        The fold that holds each example out; at least two folds.
    """

    def __init__(self, X: NDArray[Any] | Rows, T: Values, folds: NDArray[np.integer]) -> None:
        self._T = torch.from_numpy(np.ascontiguousarray(T, dtype=np.float64))
        self._rows = [torch.from_numpy(np.flatnonzero(folds == f)) for f in np.unique(folds)]
        if len(self._rows) < 2:
            raise ValueError("folds must hold at least 2 folds; got 1")
        Z = hold(X, "l2", np.float32)
        self._is_wide = Z.shape[0] <= Z.shape[1]
        self._Z = Z
        self._square = (Z @ Z.T if self._is_wide else Z.T @ Z).double()
        # Of the examples of each fold.
        self._products = [] if self._is_wide else [Z[r].double().T @ self._T[r] for r in self._rows]

    def predict(self, ridge: float) -> Values:
        """Predictions (n, m) of each example by the model of the other folds."""
        T, found = self._T, torch.empty_like(self._T)
        if self._is_wide:
            system = self._square.clone()
            system.diagonal().add_(ridge)
            inverse = torch.cholesky_inverse(torch.linalg.cholesky(system))
            A = inverse @ T
            for rows in self._rows:
                own = inverse.index_select(0, rows).index_select(1, rows)
                found[rows] = T[rows] - torch.linalg.solve(own, A[rows])
            return found.numpy()
        product = torch.stack(self._products).sum(dim=0)
        for rows, own in zip(self._rows, self._products, strict=True):
            Z = self._Z[rows]
            W = ridge_solve(self._square - (Z.T @ Z).double(), product - own, ridge)
            found[rows] = Z.double() @ W
        return found.numpy()


def sweep_targets(
    held_out: HeldOutRidge,
    merits: Callable[[Values], Values],
    *,
    ridges: Sequence[float] = RIDGES,
    first: float = FIRST_RIDGE,
) -> tuple[dict[float, Values], float, Values]:
    """Climb from `first` to the strength of the highest mean merit.

    Parameters
    ----------
    merits : callable
        Given held-out predictions (n, m), the merit of each example (n,).
    ridges : sequence of float > 0, default RIDGES
    first : float > 0
        Where to begin; the nearest of `ridges` is taken.

    Returns
    -------
    merits_of : dict of ridge to array (n,)
        Of those that were tried.
    best : float
        The strongest of equals.
    predictions : float64 array (n, m)
        At `best`.
    """
    grid = sorted(ridges)
    at = int(np.abs(np.log(grid) - np.log(first)).argmin())
    tried: dict[int, Values] = {}
    best, predictions = (-np.inf, -1), np.empty(0)

    def value(i: int) -> float:
        nonlocal best, predictions
        if i not in tried:
            P = held_out.predict(grid[i])
            tried[i] = merits(P)
            if (found := (mean_of(i), i)) > best:  # those of one strength alone are kept
                best, predictions = found, P
        return mean_of(i)

    def mean_of(i: int) -> float:
        return round(float(tried[i].mean()), 12)

    start = at
    while at + 1 < len(grid) and value(at + 1) >= value(at):
        at += 1
    while at == start and at > 0 and value(at - 1) > value(at):
        at = start = at - 1
    value(at)
    return {grid[i]: m for i, m in sorted(tried.items())}, grid[best[1]], predictions


def fit_targets(X: NDArray[Any] | Rows, T: Values, ridge: float) -> tuple[Values, Values]:
    """Coefficients (m, d) and intercepts (m,) on all examples, of rows of unit length."""
    Z = hold(X, "l2", np.float32).double()
    right = torch.from_numpy(np.ascontiguousarray(T, dtype=np.float64))
    if Z.shape[0] <= Z.shape[1]:
        W = Z.T @ ridge_solve(Z @ Z.T, right, ridge)
    else:
        W = ridge_solve(Z.T @ Z, Z.T @ right, ridge)
    w = W.T.numpy()
    return w[:, :-1].copy(), w[:, -1].copy()
