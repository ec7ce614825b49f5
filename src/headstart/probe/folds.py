"""Folds of the cross-validation: classes balanced, copies together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.records import Example, Examples
from headstart.data.sources import counted
from headstart.data.stratify import iterative_stratification, target_counts
from headstart.data.training import duplicate_groups
from headstart.errors import DataError
from headstart.heads.folds import stratified_folds

N_FOLDS = 5


def training_folds(
    index: Examples[Any], records: Sequence[Example], *, n_folds: int = N_FOLDS, seed: int = 0
) -> NDArray[np.int64]:
    """The fold that holds each record out; duplicates share a fold.

    Raises ValueError as :func:`headstart.heads.stratified_folds`.

    Parameters
    ----------
    index : Examples
        Knows which records are duplicates of one another.
    records : sequence of Example, length n
        Usually the training records of `index`, or a part of them.
    n_folds : int >= 2, default 5
    seed : int, default 0
        Random seed of the shuffle.

    Returns
    -------
    int64 array (n,)
    """
    groups = duplicate_groups(index, records)
    if index.kind != "classes":
        return _target_folds(records, groups, n_folds, seed)
    y = np.array([r.label for r in records])
    return stratified_folds(y, groups, n_folds=n_folds, seed=seed)


def _target_folds(
    records: Sequence[Example], groups: NDArray[np.int64], n_folds: int, seed: int
) -> NDArray[np.int64]:
    """Of labels or numbers: iterative stratification of the groups, shuffled."""
    unit = np.unique(groups, return_inverse=True)[1].reshape(-1)
    n_units = int(unit.max()) + 1
    if n_units < 2:
        raise ValueError(f"cross-validation needs at least 2 groups of samples; got {n_units}")
    unit = np.random.default_rng(seed).permutation(n_units)[unit]
    counts, sizes = target_counts(records, unit, n_folds)
    n = min(n_folds, n_units)
    part = iterative_stratification(counts, sizes, [1 / n] * n)
    return np.unique(part, return_inverse=True)[1].reshape(-1)[unit].astype(np.int64)


def judgeable(y: NDArray[np.str_], folds: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which examples cross-validation can judge: their class is also among the other folds.

    The only example of a class is never classified correctly by a model that has not seen it, which
    tells nothing of the features.

    Parameters
    ----------
    y : array (n,)
        Labels.
    folds : int array (n,)

    Returns
    -------
    bool array (n,)
    """
    pairs = np.unique(np.stack([np.unique(y, return_inverse=True)[1], folds]), axis=1)
    n_folds_of_class = np.bincount(pairs[0])
    known: NDArray[np.bool_] = n_folds_of_class[np.unique(y, return_inverse=True)[1]] > 1
    return known


def require_two_each(y: NDArray[np.str_]) -> None:
    """Raise DataError unless labels are of two classes or more, with two examples each on average."""
    n_classes = len(np.unique(y))
    if n_classes < 2 or len(y) < 2 * n_classes:
        raise DataError(
            f"cross-validation needs two classes or more with two examples each on average; got "
            f"{counted(len(y), 'example')} of {counted(n_classes, 'class')}"
        )
