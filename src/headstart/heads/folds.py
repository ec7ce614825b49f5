"""Cross-validation folds that keep classes balanced and duplicates together."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold

# So many groups scikit-learn divides in two seconds; it takes far longer for more of them and classes.
MOST_SPLIT_GROUPS = 5_000


def stratified_folds(
    y: ArrayLike, groups: ArrayLike | None = None, n_folds: int = 5, seed: int = 0
) -> NDArray[np.int64]:
    """Assign every example to a fold.

    Each class is spread over the folds as evenly as its size (and its groups) allow. A class with
    fewer members than folds is missing from some folds; a class with one member is missing from
    the training part of the fold that holds it. Where there are fewer groups than ``n_folds``, there
    are as many folds as groups.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels.
    groups : array-like of shape (n_samples,), optional
        Examples with the same group (duplicates of an image, photographs of one object) never
        come to lie in different folds. By default every example is its own group.
    n_folds : int >= 2, default=5
        The number of folds wanted.
    seed : int, default=0
        Of the shuffle.

    Returns
    -------
    ndarray of shape (n_samples,), int64
        Fold of each example, 0 to at most ``n_folds - 1``.

    Raises
    ------
    ValueError
        If ``n_folds`` is below 2, the lengths differ, or there are fewer than two groups.
    """
    labels = np.unique(np.asarray(y), return_inverse=True)[1].reshape(-1)
    if n_folds < 2:
        raise ValueError(f"n_folds must be at least 2; got {n_folds}")
    if groups is None:
        _check_groups(labels.size)
        return _deal(labels, min(n_folds, labels.size), seed)
    units = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    if units.size != labels.size:
        raise ValueError(f"y and groups differ in length: {labels.size} and {units.size}")
    n_units = int(units.max(initial=-1)) + 1
    _check_groups(n_units)
    if n_units == labels.size:
        return _deal(labels, min(n_folds, n_units), seed)
    if n_units > MOST_SPLIT_GROUPS:
        return _split_many(labels, units, n_folds, seed)
    return _split_groups(labels, units, min(n_folds, n_units), seed)


def _check_groups(n_groups: int) -> None:
    if n_groups < 2:
        raise ValueError(
            f"cross-validation needs at least 2 samples (or groups of samples); got {n_groups}"
        )


def _deal(labels: NDArray[np.int64], n_folds: int, seed: int) -> NDArray[np.int64]:
    """Shuffle each class and deal it out like cards, each class going on where the last ended."""
    shuffled = np.random.default_rng(seed).permutation(labels.size)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold = np.empty(labels.size, dtype=np.int64)
    fold[by_class] = np.arange(labels.size) % n_folds
    return fold


def _split_many(
    labels: NDArray[np.int64], units: NDArray[np.int64], n_folds: int, seed: int
) -> NDArray[np.int64]:
    """Divide the groups of two examples or more, then deal out the rest to the emptiest folds."""
    is_shared = np.bincount(units)[units] > 1
    shared = np.unique(units[is_shared], return_inverse=True)[1]
    fold = np.empty(labels.size, dtype=np.int64)
    if shared.max(initial=-1) < n_folds:
        fold[is_shared] = shared
    else:
        fold[is_shared] = _split_groups(labels[is_shared], shared, n_folds, seed)
    alone = np.random.default_rng(seed).permutation(np.flatnonzero(~is_shared))
    for label in np.unique(labels[alone]):
        own = alone[labels[alone] == label]
        filled = np.bincount(fold[is_shared & (labels == label)], minlength=n_folds)
        # The places of every fold by how full it is then; the first fold changes with the class.
        turn = (np.arange(n_folds) - label) % n_folds
        level = filled[:, None] + np.arange(len(own))
        places = np.lexsort((np.broadcast_to(turn[:, None], level.shape).ravel(), level.ravel()))
        fold[own] = places[: len(own)] // len(own)
    return fold


def _split_groups(
    labels: NDArray[np.int64], units: NDArray[np.int64], n_folds: int, seed: int
) -> NDArray[np.int64]:
    most = int(np.bincount(labels).max())
    if most < 2:
        # With one member a class there is nothing to balance, and scikit-learn would refuse.
        labels = np.zeros_like(labels)
    else:
        n_folds = min(n_folds, most)
    splitter = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    fold = np.empty(labels.size, dtype=np.int64)
    with warnings.catch_warnings():
        # Classes smaller than the number of folds are allowed here, and documented.
        warnings.simplefilter("ignore", UserWarning)
        for number, (_, test) in enumerate(splitter.split(labels, labels, units)):
            fold[test] = number
    return fold
