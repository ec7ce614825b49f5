"""Least squares with held-out scores in closed form: for judging many sums of Gram matrices.

A ridge classifier (targets +1 and -1, the least-squares SVM of Suykens and Vandewalle 1999) needs
one inverse for any number of folds: with ``G = (K + r I)^-1`` and ``a = G Y``, the residuals of fold
``F``, had it been left out, are ``(G_FF)^-1 a_F`` (An, Liu and Venkatesh 2007). The products of
examples whose features lie side by side are the sum of the blocks' products, so that a
concatenation costs an addition of Gram matrices instead of a product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from headstart.heads.examples import (
    LARGE_BLOCK_ROWS,
    Normalize,
    Rows,
    is_lazy,
    read_rows,
    row_blocks,
)

# Weights of the squared norm, for rows of unit length.
RIDGES = (0.03, 0.3, 1.0)
# Training examples up to which systems of products of features are solved in float32.
MANY_ROWS = 20_000


def cross_validate_ridge(
    gram: ArrayLike, y: ArrayLike, folds: ArrayLike, ridge: float = 0.3
) -> NDArray[np.bool_]:
    """Which examples a ridge classifier recognises that was fitted without their fold.

    Raises ValueError where the shapes do not fit, ``ridge`` is not above 0, or there is one class
    only.

    Parameters
    ----------
    gram : array-like of shape (n_samples, n_samples), float
        Products of the rows; the constant feature is added here.
    y : array-like of shape (n_samples,)
        Labels of at least two classes.
    folds : array-like of shape (n_repeats, n_samples), int
        Fold of each example, in each of several divisions.
    ridge : float > 0, default 0.3
        Weight of the squared norm; for rows of unit length, 0.1 to 1 is about right.

    Returns
    -------
    ndarray of shape (n_repeats, n_samples), bool
    """
    n, correct = np.asarray(y).size, np.empty(np.asarray(folds).shape, dtype=bool)
    member = np.unique(np.asarray(y), return_inverse=True)[1].reshape(-1)
    for i, rows, scores in held_out_scores(gram, y, folds, ridge):
        correct[i, rows] = scores.argmax(axis=1) == member[rows]
    return correct.reshape(-1, n)


def held_out_scores(
    gram: ArrayLike, y: ArrayLike, folds: ArrayLike, ridge: float
) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.float32]]]:
    """The scores (n_rows, K) of each fold of each division, with their positions; as above."""
    products = torch.from_numpy(np.require(gram, dtype=np.float32, requirements=["C", "W"]))
    classes, member = np.unique(np.asarray(y), return_inverse=True)
    divisions, n = np.asarray(folds), member.size
    if products.shape != (n, n) or divisions.ndim != 2 or divisions.shape[1] != n:
        raise ValueError(
            f"gram must be ({n}, {n}) and folds (n_repeats, {n}) for {n} labels; "
            f"got {tuple(products.shape)} and {divisions.shape}"
        )
    if not ridge > 0:
        raise ValueError(f"ridge must be above 0; got {ridge!r}")
    if len(classes) < 2:
        raise ValueError(f"y needs at least 2 classes; got 1 class: {classes.tolist()!r}")
    own = torch.from_numpy(member.reshape(-1))
    target = torch.nn.functional.one_hot(own, len(classes)).float() * 2 - 1
    inverse = _inverse(products + 1.0, ridge)
    a = inverse @ target
    for i, division in enumerate(divisions):
        for fold in np.unique(division):
            rows = np.flatnonzero(division == fold)
            index = torch.from_numpy(rows)
            residual = _solve(inverse.index_select(0, index).index_select(1, index), a[index])
            yield i, rows, (target[index] - residual).numpy()


def _solve(system: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Of a part of an inverse, which is positive definite up to rounding."""
    factor, failed = torch.linalg.cholesky_ex(system)
    return torch.linalg.solve(system, right) if int(failed) else torch.cholesky_solve(right, factor)


def ridge_solve(square: torch.Tensor, right: torch.Tensor, ridge: float) -> torch.Tensor:
    """``(square + ridge I)^-1 right``, in float64 where float32 does not do."""
    for dtype in (square.dtype, torch.float64):
        system = square.to(dtype, copy=True)
        system.diagonal().add_(ridge)
        factor, failed = torch.linalg.cholesky_ex(system)
        if not int(failed):
            break
    return torch.cholesky_solve(right.to(dtype), factor).to(right.dtype)


def outer_square(Z: torch.Tensor) -> torch.Tensor:
    """``Z Z^T``; on a CPU by NumPy, which computes half of a symmetric product."""
    if Z.device.type != "cpu":
        return Z @ Z.T
    array = Z.numpy()
    return torch.from_numpy(array @ array.T)


def _inverse(gram: torch.Tensor, ridge: float) -> torch.Tensor:
    """``(gram + ridge I)^-1``, in float64 where float32 does not do."""
    for dtype in (torch.float32, torch.float64):
        system = gram.to(dtype, copy=True)
        system.diagonal().add_(ridge)
        factor, failed = torch.linalg.cholesky_ex(system)
        if not int(failed):
            return torch.cholesky_inverse(factor).float()
    raise ValueError("gram is not a Gram matrix: with its ridge it is not positive definite")


@dataclass(frozen=True, kw_only=True, slots=True)
class RidgePath:
    """Held-out predictions of a ridge classifier at several strengths."""

    ridges: tuple[float, ...]  # ascending
    accuracy: NDArray[np.float64]  # (n_ridges,)
    best: int  # position of the best strength; of equals the strongest
    # (n_samples,); whether each example is classified correctly at the best strength by the model
    # of the fold that held it out
    correct: NDArray[np.bool_]
    # (n_samples,); at the best strength; `correct`, unless something else is optimised
    merits: NDArray[Any]


def sweep_ridge(
    X: ArrayLike | Rows,
    y: ArrayLike,
    folds: ArrayLike,
    *,
    ridges: Sequence[float] = RIDGES,
    normalize: Normalize = "l2",
    merits: Callable[[NDArray[np.float32]], NDArray[np.float64]] | None = None,
) -> RidgePath:
    """Cross-validate a ridge classifier exactly, at every strength.

    Targets are +1 for an example's own class and -1 for the others (Suykens and Vandewalle 1999).
    With more examples than features, the products of features are summed once per fold, and a fold
    is left out by subtraction; with fewer, the folds are left out of one inverse of the Gram matrix
    (:func:`cross_validate_ridge`). The features are read in blocks, twice; memory does not grow with
    the number of examples in the first form.

    Raises ValueError where there is one class or one fold only, or a strength is not above 0.

    Parameters
    ----------
    X : array-like or Rows of shape (n_samples, n_features), float
    y : array-like of shape (n_samples,)
        Labels of at least two classes.
    folds : array-like of shape (n_samples,), int
        The fold that holds each example out.
    ridges : sequence of float > 0
        Weights of the squared norm.
    normalize : {"l2", "power", "none"}, default "l2"
        How rows are normalised first.
    merits : callable, optional
        What is optimised, given the held-out scores (n, K): the merit of each example; by default
        whether it is classified correctly.
    """
    data: Any = X if is_lazy(X) else np.asarray(X)
    classes, member = np.unique(np.asarray(y), return_inverse=True)
    fold_of = np.unique(np.asarray(folds), return_inverse=True)[1]
    strengths = tuple(sorted(ridges))
    if len(classes) < 2:
        raise ValueError(f"y needs at least 2 classes; got 1 class: {classes.tolist()!r}")
    if fold_of.max() < 1:
        raise ValueError("folds must hold at least 2 folds; got 1")
    if not strengths or not strengths[0] > 0:
        raise ValueError(f"ridges must be above 0; got {ridges!r}")
    n, d = data.shape
    correct = np.zeros((len(strengths), n), dtype=bool)
    # Scores of all examples are kept only where the merits need them.
    scores = np.zeros(
        (0, 0, 0) if merits is None else (len(strengths), n, len(classes)), np.float32
    )

    def take(i: int, rows: NDArray[np.intp], found: NDArray[np.float32]) -> None:
        correct[i, rows] = found.argmax(axis=1) == member[rows]
        if merits is not None:
            finite = np.isfinite(found)
            scores[i, rows] = (
                found if finite.all() else np.where(finite, found, found[finite].min() - 1)
            )

    if n <= d:
        Z = read_rows(data, slice(0, n), normalize).astype(np.float32, copy=False)
        gram = Z @ Z.T
        for i, r in enumerate(strengths):
            for _, rows, found in held_out_scores(gram, member, fold_of[None], r):
                take(i, rows, found)
    else:
        _sweep_features(data, member, fold_of, len(classes), strengths, normalize, take)
    accuracy = correct.mean(axis=1)
    judged = correct if merits is None else np.stack([merits(each) for each in scores])
    value = judged.mean(axis=1)
    best = len(strengths) - 1 - int(value[::-1].argmax())
    return RidgePath(
        ridges=strengths, accuracy=accuracy, best=best, correct=correct[best], merits=judged[best]
    )


def ridge_bytes(
    shape: tuple[int, int], n_folds: int, n_classes: int, *, has_merits: bool = False
) -> int:
    """Memory that `sweep_ridge` takes beside features of this shape, (n_samples, n_features)."""
    n, d = shape
    kept = 4 * n * n_classes * len(RIDGES) if has_merits else 0
    if n <= d:
        return kept + 4 * n * (d + 3 * n + 2 * n_classes)
    # Products, sums of classes and weights of every fold, and what one fold leaves with its factor.
    squares = 8 * (n_folds + 3) * (d + 1) ** 2
    of_classes = (d + 1) * n_classes * (8 * (n_folds + 2) + 4 * n_folds * len(RIDGES))
    return kept + squares + of_classes + 4 * min(n, LARGE_BLOCK_ROWS) * (2 * d + n_classes)


def _sweep_features(
    X: Any,
    member: NDArray[np.intp],
    fold_of: NDArray[np.intp],
    n_classes: int,
    ridges: Sequence[float],
    normalize: Normalize,
    take: Callable[[int, NDArray[np.intp], NDArray[np.float32]], None],
) -> None:
    """Give `take` the held-out scores (n_rows, K) at each strength, and their positions."""
    n, d = X.shape
    n_folds = int(fold_of.max()) + 1
    square = torch.zeros(n_folds, d + 1, d + 1, dtype=torch.float64)
    sums = torch.zeros(n_folds, n_classes, d + 1, dtype=torch.float64)
    own = torch.from_numpy(member.reshape(-1))

    def pieces() -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """Rows of one fold within a block: the fold, their numbers, and the rows."""
        for rows in row_blocks(n, LARGE_BLOCK_ROWS):
            Z = torch.from_numpy(read_rows(X, rows, normalize).astype(np.float32, copy=False))
            Z = torch.cat([Z, torch.ones(len(Z), 1)], dim=1)
            for fold in np.unique(fold_of[rows]):
                here = torch.from_numpy(np.flatnonzero(fold_of[rows] == fold))
                yield int(fold), here + rows.start, Z[here]

    for fold, numbers, Z in pieces():
        square[fold] += outer_square(Z.T.contiguous())
        sums[fold].index_add_(0, own[numbers], Z.double())
    of_all, sums_of_all = square.sum(dim=0), sums.sum(dim=0)
    weights = [
        _fold_weights(of_all - square[fold], sums_of_all - sums[fold], ridges)
        for fold in range(n_folds)
    ]
    for fold, numbers, Z in pieces():
        for i, W in enumerate(weights[fold]):
            take(i, numbers.numpy(), (Z @ W).numpy())


def _fold_weights(
    square: torch.Tensor, of_class: torch.Tensor, ridges: Sequence[float]
) -> list[torch.Tensor]:
    """Weights (d + 1, K) at each strength, from what all folds but one add up to.

    A class that these folds lack is never predicted.
    """
    # Targets of +1 and -1: twice the sum of the class less the sum of all.
    right = (2 * of_class - of_class.sum(dim=0)).T
    # The constant feature counts the examples of each class.
    absent = of_class[:, -1] < 0.5
    # With many examples the ridge is too little beside the largest eigenvalue.
    dtype = torch.float32 if of_class[:, -1].sum() <= MANY_ROWS else torch.float64
    found = []
    square, right = square.to(dtype), right.to(dtype)
    for ridge in ridges:
        W = ridge_solve(square, right, ridge).float()
        W[:, absent] = 0
        W[-1, absent] = -torch.inf
        found.append(W)
    return found
