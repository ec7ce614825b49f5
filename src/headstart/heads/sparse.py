"""Sparse features, such as counts of words: what the solvers need to know of them.

For more rows than a Gram matrix can hold, the SVMs of all classes are solved together in the primal by
Newton's method with conjugate gradients (Keerthi and DeCoste 2005, "A modified finite Newton method for
fast solution of large scale linear SVMs"): a product of sparse rows with the weights of twenty classes
takes three times as long as with those of one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads.examples import Normalize

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Above this many sparse examples the Gram matrix (float64 and float32) passes 2.7 GB.
MOST_SPARSE_ROWS = 15_000
# Share of filled rows from which a column is multiplied as a dense one.
FULL = 0.25
# What Newton's step is expected to gain, against the objective, at which it is the last: of SVMs of
# cross-validation, and of one that is kept.
CV_TOL, TOL = 1e-2, 1e-3
MOST_NEWTON_STEPS, MOST_HALVINGS = 100, 20
# Conjugate gradients end where the residual is this much of the gradient, or after so many steps: few
# where the weights need not be exact.
CG_TOL = 0.3
ROUGH = 1e-2
FEW_CG_STEPS, MOST_CG_STEPS = 10, 30
# Folds on which the cost is searched; the others are judged at the best alone.
N_SEARCHED = 2


def hold_sparse(X: Any, normalize: Normalize) -> csr_array:
    """All rows with the constant one as the last column, float64."""
    from scipy.sparse import csr_array, hstack

    Z = normalize_sparse(X, normalize)
    return csr_array(hstack([Z, np.ones((Z.shape[0], 1))]))


def normalize_sparse(X: Any, normalize: Normalize) -> csr_array:
    """As :func:`headstart.heads.examples.normalize_rows`, of a sparse array, float64."""
    from scipy.sparse import csr_array
    from sklearn.preprocessing import normalize as unit_rows

    Z = csr_array(X, dtype=np.float64)
    if normalize == "power":
        Z = Z.sign() * abs(Z).sqrt()
    return Z if normalize == "none" else csr_array(unit_rows(Z))


def sparse_gram(Z: csr_array) -> NDArray[np.float64]:
    """``Z Z^T`` in full; columns that are mostly filled are multiplied as a dense array."""
    columns = Z.tocsc()
    is_full = np.diff(columns.indptr) > FULL * Z.shape[0]
    gram = np.zeros((Z.shape[0], Z.shape[0]))
    if is_full.any():
        dense = columns[:, is_full].toarray()
        gram = dense @ dense.T
    rest = columns[:, ~is_full].tocsr()
    return np.asarray(gram + (rest @ rest.T).toarray())


def require_finite(X: Any) -> None:
    """Raise ValueError where a stored value is not finite."""
    rows = X.tocoo()
    if not (finite := np.isfinite(rows.data)).all():
        row = int(rows.row[~finite].min())
        raise ValueError(f"X holds NaN or infinity, first in row {row}")


def cross_validate_large(
    X: csr_array,
    y: NDArray[np.str_],
    Cs: Sequence[float],
    folds: NDArray[np.integer],
    *,
    weight: ArrayLike | None = None,
    merits: Callable[[NDArray[np.floating], NDArray[np.intp]], NDArray[Any]] | None = None,
) -> tuple[float, float, NDArray[np.float32], NDArray[np.bool_]]:
    """What `cross_validate` finds, for more examples than a Gram matrix can hold, at few costs.

    Two folds are judged from the cost nearest to 1 on, until the most accurate lies between two that
    are no better; the others at that cost. Folds are solved side by side.

    Parameters
    ----------
    X : sparse array of shape (n_samples, n_features)
        Features; rows are brought to unit length.
    y : array of shape (n_samples,)
        Labels of K >= 2 classes.
    Cs : sequence of float > 0
        Ascending.
    folds : int array (n_samples,)
    weight : array-like of shape (n_samples,), optional
        Factors of the cost by example.
    merits : callable, optional
        What is optimised: given scores (n, K) of held-out examples and their positions, the merit of
        each; by default whether it is classified correctly.

    Returns
    -------
    C : float
        The best cost tried, the smallest of equals.
    accuracy : float
        At that cost.
    decisions : float32 array (n_samples, K)
        Out-of-fold scores at that cost; two classes have the columns ``-f`` and ``f``.
    correct : bool array (n_samples,)
        At that cost.
    """
    member = np.unique(y, return_inverse=True)[1]
    Z, Y = hold_sparse(X, "l2").astype(np.float32), _targets(member)
    factor = None if weight is None else np.asarray(weight, dtype=np.float32)
    numbers = np.unique(folds)
    scores: dict[float, NDArray[np.float32]] = {}
    weights: dict[int, NDArray[np.float32]] = {}  # of the cost that was solved last

    def solve(number: int, C: float) -> None:
        train, test = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        start = weights.get(number)
        own = None if factor is None else factor[train]
        weights[number] = W = solve_sparse(
            Z[train], Y[train], C, tol=CV_TOL, start=start, weight=own
        )
        found = Z[test] @ W
        if Y.shape[1] == 1:
            found = np.hstack([-found, found])
        # A class that the other folds lack is never predicted.
        unseen = np.bincount(member[train], minlength=found.shape[1]) == 0
        found[:, unseen] = found.min() - 1
        scores[C][test] = found

    with ThreadPoolExecutor(min(len(numbers), os.cpu_count() or 1)) as pool:

        def merit(C: float) -> float:
            if C not in scores:
                scores[C] = np.zeros((len(y), max(Y.shape[1], 2)), dtype=np.float32)
                list(pool.map(lambda number: solve(number, C), numbers[:N_SEARCHED]))
            rows = np.flatnonzero(np.isin(folds, numbers[:N_SEARCHED]))
            if merits is not None:
                return round(float(merits(scores[C][rows], rows).sum()), 6)
            return int((scores[C][rows].argmax(axis=1) == member[rows]).sum())

        C = climb_costs(merit, Cs)
        list(pool.map(lambda number: solve(number, C), numbers[N_SEARCHED:]))
    correct = scores[C].argmax(axis=1) == member
    return C, float(correct.mean()), scores[C], correct


def climb_costs(merit: Callable[[float], float], Cs: Sequence[float]) -> float:
    """The cost at which `merit` has a peak, from the one nearest to 1 on; of equals the smallest."""
    at = min(range(len(Cs)), key=lambda i: abs(math.log(Cs[i])))
    merit(Cs[at])
    for side in (-1, 1):
        while 0 <= at + side < len(Cs):
            gain = merit(Cs[at + side]) - merit(Cs[at])
            if not (gain > 0 or (side < 0 and gain == 0)):
                break
            at += side
    return Cs[at]


def fit_large(
    X: csr_array, y: NDArray[np.str_], C: float, *, weight: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The linear SVM at one cost: weights (K, d) and intercepts (K,), of any number of examples.

    ``weight`` (n_samples,) are factors of the cost by example.
    """
    Y = _targets(np.unique(y, return_inverse=True)[1])
    factor = None if weight is None else np.asarray(weight, dtype=np.float32)
    solved = solve_sparse(hold_sparse(X, "l2").astype(np.float32), Y, C, weight=factor)
    W = solved.T.astype(np.float64)
    W = W if len(W) > 1 else np.vstack([-W, W])
    return np.ascontiguousarray(W[:, :-1]), W[:, -1].copy()


def _targets(member: NDArray[np.integer]) -> NDArray[np.float32]:
    """1 for members of a class and -1 for others, (n, K); of two classes one column."""
    every = np.arange(member.max() + 1)
    Y = np.where(member[:, None] == every, np.float32(1), np.float32(-1))
    return Y if len(every) > 2 else Y[:, 1:]


def solve_sparse(
    Z: csr_array,
    Y: NDArray[np.float32],
    C: float,
    *,
    tol: float = TOL,
    start: NDArray[np.float32] | None = None,
    weight: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Weights of one-vs-rest linear SVMs (squared hinge, L2), all classes together.

    Parameters
    ----------
    Z : sparse array of shape (n_samples, n_features), float32
        Rows of `hold_sparse`.
    Y : float32 array (n_samples, n_models)
        1 for members of a class, -1 for the others.
    tol : float
        Expected gain of the last step, against the objective.
    start : float32 array (n_features, n_models), optional
        Weights to begin with, such as those at another cost.
    weight : float32 array (n_samples,), optional
        Factors of ``C`` by example.

    Returns
    -------
    float32 array (n_features, n_models)
    """
    ZT = Z.T  # shares the memory; products with it are as fast
    W = np.zeros((Z.shape[1], Y.shape[1]), dtype=np.float32) if start is None else start.copy()
    F = Z @ W
    squares = Z.multiply(Z).T
    factor = np.float32(1) if weight is None else weight[:, None]
    left = np.arange(Y.shape[1])
    for _ in range(MOST_NEWTON_STEPS):
        w, y, f = W[:, left], Y[:, left], F[:, left]
        active = (y * f < 1) * factor
        gradient = w + 2 * C * (ZT @ (active * (f - y)))
        scale = 1 + 2 * C * (squares @ active)
        n_steps = FEW_CG_STEPS if tol >= ROUGH else MOST_CG_STEPS
        step, moved = _newton_step(Z, ZT, active, C, gradient, scale, n_steps)
        sizes, now = _line_search(w, step, f, moved, y, C, factor)
        W[:, left] += sizes * step
        F[:, left] += sizes * moved
        gain = -0.5 * (gradient * step).sum(axis=0)
        left = left[(gain > tol * now) & (sizes > 0)]
        if not left.size:
            break
    return W


def _newton_step(
    Z: csr_array,
    ZT: Any,
    active: NDArray[np.float32],
    C: float,
    gradient: NDArray[np.float32],
    scale: NDArray[np.float32],
    n_steps: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Steps (d, m) by conjugate gradients scaled by the Hessian's diagonal, and ``Z`` times these."""
    step = np.zeros_like(gradient)
    moved = np.zeros((Z.shape[0], gradient.shape[1]), dtype=np.float32)
    residual = -gradient
    direction = residual / scale
    energy = _column_dots(residual, direction)
    enough = CG_TOL**2 * _column_dots(gradient, gradient)
    wide, tall = np.empty_like(gradient), np.empty_like(moved)  # fresh arrays cost as much as sums
    for _ in range(n_steps):
        through = Z @ direction
        bent = ZT @ np.multiply(active, through, out=tall)
        bent *= np.float32(2 * C)
        bent += direction
        size = energy / np.maximum(_column_dots(direction, bent), 1e-30)
        step += np.multiply(size, direction, out=wide)
        moved += np.multiply(size, through, out=tall)
        residual -= np.multiply(size, bent, out=wide)
        if (_column_dots(residual, residual) <= enough).all():
            break
        scaled = np.divide(residual, scale, out=wide)
        energy, before = _column_dots(residual, scaled), energy
        direction *= energy / np.maximum(before, 1e-30)
        direction += scaled
    return step, moved


def _column_dots(A: NDArray[np.float32], B: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dot products of the columns of two arrays (d, m), (m,)."""
    return np.asarray(np.einsum("ij,ij->j", A, B))


def _line_search(
    W: NDArray[np.float32],
    step: NDArray[np.float32],
    f: NDArray[np.float32],
    moved: NDArray[np.float32],
    y: NDArray[np.float32],
    C: float,
    factor: Any,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The first of 1, 1/2, 1/4, ... that lowers each model's objective, (m,), and that objective."""

    def objective(sizes: NDArray[np.float32]) -> NDArray[np.float64]:
        loss = factor * np.maximum(1 - y * (f + sizes * moved), 0) ** 2
        at = W + sizes * step
        return np.asarray(0.5 * (at**2).sum(axis=0) + C * loss.sum(axis=0), dtype=np.float64)

    sizes = np.ones(W.shape[1], dtype=np.float32)
    now = objective(np.zeros_like(sizes))
    for _ in range(MOST_HALVINGS):
        worse = objective(sizes) > now
        if not worse.any():
            break
        sizes[worse] /= 2
    else:
        sizes[worse] = 0
    return sizes, now
