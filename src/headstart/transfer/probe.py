"""The linear SVM on given features, measured by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import DataError
from headstart.heads import Interval, accuracy_interval, cross_validate, stratified_folds
from headstart.transfer.fitting import CS, N_FOLDS


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What the linear SVM reached.

    Attributes
    ----------
    accuracy : Interval
        Cross-validated, with the best ``C``.
    C : float
    correct : bool array (n,)
        Whether each image was recognised by the SVM that did not see it.
    """

    accuracy: Interval
    C: float
    correct: NDArray[np.bool_]


def linear_probe(
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    seed: int = 0,
) -> Probe:
    """Cross-validate the linear SVM over ``C`` on rows brought to unit length.

    Parameters
    ----------
    X : array-like of shape (n, d), float
        Features.
    y : array-like of shape (n,)
        Labels.
    groups : array-like of shape (n,), optional
        Duplicates share a group, which no fold splits.
    seed : int, default 0
        Of the folds: the same seed gives every candidate the same folds.

    Returns
    -------
    Probe

    Raises
    ------
    DataError
        There are fewer than two classes, or too few images for two folds.
    """
    labels = np.asarray(y)
    n_classes = len(np.unique(labels))
    if n_classes < 2 or len(labels) < 2 * n_classes:
        raise DataError(
            f"cross-validation needs two classes or more with two images each on average; got "
            f"{len(labels)} images of {n_classes} {'class' if n_classes == 1 else 'classes'}"
        )
    folds = stratified_folds(labels, groups, n_folds=N_FOLDS, seed=seed)
    path = cross_validate(X, labels, CS, folds)
    correct = path.correct[path.best]
    return Probe(accuracy=accuracy_interval(correct), C=path.C, correct=correct)
