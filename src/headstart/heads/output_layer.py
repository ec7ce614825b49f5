"""A linear SVM as the output layer of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from headstart.heads import sparse
from headstart.heads.calibration import fit_temperature
from headstart.heads.criterion import read_weights
from headstart.heads.examples import Normalize, Rows
from headstart.heads.outofcore import StreamedTask, set_up
from headstart.heads.passes import Labels
from headstart.heads.path import PathResult, label_columns
from headstart.heads.search import CostSearch
from headstart.heads.svm import LinearSVM, warn_unsolved
from headstart.heads.task import Device, Fit, Task, or_on_cpu

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, kw_only=True)
class OutputLayer:
    """What a network's training may begin with, and the SVM that it is.

    Attributes
    ----------
    coef : float64 array (K, d)
    intercept : float64 array (K,)
        ``softmax(unit_row @ coef.T + intercept)`` are probabilities: an SVM's own scores are not
        their logarithms, so both are multiplied by the factor under which the scores of held-out
        folds predict the classes best.
    svm : LinearSVM
    path : PathResult
        Of the cross-validation that chose C.
    """

    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    svm: LinearSVM
    path: PathResult


def fit_output_layer(
    X: ArrayLike,
    y: ArrayLike,
    path: PathResult,
    *,
    normalize: Normalize = "l2",
    sample_weight: ArrayLike | None = None,
) -> OutputLayer:
    """A linear SVM as the start of an output layer (Kumar et al., ICLR 2022).

    Parameters
    ----------
    X : array-like of shape (n_samples, d)
        Features.
    y : array-like of shape (n_samples,)
        Labels of K >= 2 classes.
    path : PathResult
        The cross-validation of `X` and `y`, which says the cost and how to scale the scores.
    normalize : {"l2", "power", "none"}, default "l2"
        How rows are normalised first.
    sample_weight : array-like of shape (n_samples,), optional
        Factors of the cost, and how often examples count in the scale.

    Returns
    -------
    OutputLayer
    """
    svm = LinearSVM(C=path.C, normalize=normalize).fit(X, y, sample_weight)
    coef, intercept = one_row_a_class(svm)
    member = np.searchsorted(path.classes, np.asarray(y))
    scale = fit_temperature(path.decisions, member, sample_weight).scale
    return OutputLayer(coef=scale * coef, intercept=scale * intercept, svm=svm, path=path)


def one_row_a_class(svm: LinearSVM) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The weights as (K, d): two classes, which share one row, get ``-w`` and ``w``."""
    return both_signs(svm.coef_, svm.intercept_)


def fit_rows(
    X: ArrayLike | Rows | csr_array,
    y: ArrayLike,
    C: float,
    *,
    scores: NDArray[np.floating] | None = None,
    tol: float = 1e-5,
    sample_weight: ArrayLike | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`LinearSVM` with weights (K, d), also on sparse features, which scikit-learn's interface refuses.

    Parameters
    ----------
    X : array-like, Rows or sparse array of shape (n_samples, d), float
        Features; rows are brought to unit length.
    y : array-like of shape (n_samples,)
        Labels of K >= 2 classes; the rows of the result are theirs, sorted.
    C : float > 0
    scores : array of shape (n_samples, K), optional
        Held-out scores of the cross-validation at `C`, to start from: they say nearly which examples
        are active.
    tol : float
        Relative duality gap. For more sparse examples than a Gram matrix can hold, see
        `sparse.fit_large`, which gives no certificate.
    sample_weight : array-like of shape (n_samples,), optional
        Factors of ``C`` by example.

    Returns
    -------
    coef : float64 array (K, d)
    intercept : float64 array (K,)
    """
    data, classes, member = label_columns(X, y)
    if issparse(data) and data.shape[0] > sparse.MOST_SPARSE_ROWS:
        return sparse.fit_large(data, classes[member], C, weight=sample_weight)
    weight = read_weights(sample_weight, len(member))
    labels = Labels.of(member, len(classes), weight, np.ones(len(classes)))

    def solve(device: Device) -> Fit:
        return _fit(set_up(data, labels, device, "l2"), C, tol, scores)

    return _checked(or_on_cpu(solve, None), tol)


def fit_searched(
    search: CostSearch, C: float, scores: NDArray[np.floating], *, tol: float = 1e-5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`fit_rows` on what a search has set up, its labels and weights included."""
    return _checked(search.on_device(lambda task: _fit(task, C, tol, scores)), tol)


def _fit(
    task: Task | StreamedTask, C: float, tol: float, scores: NDArray[np.floating] | None
) -> Fit:
    if scores is None:
        return task.fit(C, tol)
    return task.fit(C, tol, np.nan_to_num(np.asarray(scores)[:, -task.n_models :].T))


def _checked(fit: Fit, tol: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    warn_unsolved(fit.gap, tol)
    return both_signs(fit.coef, fit.intercept)


def fit_predict(
    X: NDArray[Any] | csr_array,
    y: NDArray[Any],
    X_test: NDArray[Any] | csr_array,
    C: float,
    tol: float,
) -> NDArray[Any]:
    """Labels (n_test,) predicted by the linear SVM on rows of unit length, dense or sparse."""
    if not issparse(X):
        return np.asarray(LinearSVM(C, normalize="none", tol=tol).fit(X, y).predict(X_test))
    coef, intercept = fit_rows(X, y, C, tol=tol)
    return np.asarray(np.unique(y)[(X_test @ coef.T + intercept).argmax(axis=1)])


def both_signs(
    coef: NDArray[np.float64], intercept: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One row per class: a single one is that of the second of two."""
    if len(coef) > 1:
        return coef, intercept
    return np.vstack([-coef, coef]), np.hstack([-intercept, intercept])
