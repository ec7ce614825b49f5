"""Least squares with held-out scores in closed form: for judging many sums of Gram matrices.

A ridge classifier (targets +1 and -1, the least-squares SVM of Suykens and Vandewalle 1999) needs
one inverse for any number of folds: with ``G = (K + r I)^-1`` and ``a = G Y``, the residuals of fold
``F``, had it been left out, are ``(G_FF)^-1 a_F`` (An, Liu and Venkatesh 2007). The products of
examples whose features lie side by side are the sum of the blocks' products, so that a
concatenation costs an addition of Gram matrices instead of a product.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray


def cross_validate_ridge(
    gram: ArrayLike, y: ArrayLike, folds: ArrayLike, ridge: float = 0.3
) -> NDArray[np.bool_]:
    """Which examples a ridge classifier recognises that was fitted without their fold.

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

    Raises
    ------
    ValueError
        The shapes do not fit, ``ridge`` is not above 0, or there is one class only.
    """
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
    correct = np.empty(divisions.shape, dtype=bool)
    for repeat, division in zip(correct, divisions, strict=True):
        for fold in np.unique(division):
            rows = np.flatnonzero(division == fold)
            index = torch.from_numpy(rows)
            residual = _solve(inverse.index_select(0, index).index_select(1, index), a[index])
            scores = target[index] - residual
            repeat[rows] = (scores.argmax(dim=1) == own[index]).numpy()
    return correct


def _solve(system: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Of a part of an inverse, which is positive definite up to rounding."""
    factor, failed = torch.linalg.cholesky_ex(system)
    return torch.linalg.solve(system, right) if int(failed) else torch.cholesky_solve(right, factor)


def _inverse(gram: torch.Tensor, ridge: float) -> torch.Tensor:
    """``(gram + ridge I)^-1``, in float64 where float32 does not do."""
    for dtype in (torch.float32, torch.float64):
        system = gram.to(dtype, copy=True)
        system.diagonal().add_(ridge)
        factor, failed = torch.linalg.cholesky_ex(system)
        if not int(failed):
            return torch.cholesky_inverse(factor).float()
    raise ValueError("gram is no Gram matrix: with its ridge it is not positive definite")
