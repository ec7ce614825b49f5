"""Cross-validation of the linear SVM on one matrix of features, and the SVM at its best cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads import sparse
from headstart.heads.accuracy import accuracy_interval
from headstart.heads.costs import COSTS
from headstart.heads.examples import Normalize, Rows
from headstart.heads.output_layer import OutputLayer, fit_output_layer
from headstart.heads.path import cross_validate
from headstart.probe import memo
from headstart.probe.folds import judgeable
from headstart.results import Interval

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Relative duality gap of the SVMs of cross-validation. A model that is kept is solved to 1e-5.
TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What cross-validation found for one matrix of features.

    Attributes
    ----------
    n_features : int
    C : float
        The most accurate cost, the smallest of equals; NaN for a network, which has none.
    accuracy_by_C : tuple of float
        Accuracy at every cost tried. Where no example can be judged (:func:`judgeable`), that is
        only the one nearest to 1.
    decisions : float32 array (n, K)
        Out-of-fold scores at `C`.
    correct : bool array (n,)
        Whether each example was classified correctly at `C`.
    is_screened : bool
        Whether these are the scores of a ridge classifier, which ruled the features out.
    """

    n_features: int
    C: float
    accuracy_by_C: tuple[float, ...]
    decisions: NDArray[np.float32]
    correct: NDArray[np.bool_]
    is_screened: bool = False

    @property
    def accuracy(self) -> Interval:
        """Cross-validated accuracy at `C`, with a 95 % interval."""
        return accuracy_interval(self.correct)


def judge(
    X: ArrayLike | Rows | csr_array,
    y: ArrayLike,
    folds: NDArray[np.integer],
    *,
    Cs: Sequence[float] = COSTS,
    normalize: Normalize = "l2",
    kept_at: Path | None = None,
) -> Scores:
    """Cross-validate the linear SVM at every cost, and keep the scores of the best.

    Parameters
    ----------
    X : array-like, Rows or sparse array of shape (n, d), float
        Features.
    y : array-like of shape (n,)
        Labels of K >= 2 classes.
    folds : int array (n,)
        The fold that holds each example out (:func:`headstart.probe.training_folds`).
    Cs : sequence of float > 0, default COSTS
    normalize : {"l2", "power", "none"}, default "l2"
        How rows are normalised first.
    kept_at : Path, optional
        File of the memo: read if it is there, else written.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        As :func:`headstart.heads.cross_validate`.
    """
    if kept_at is not None and (known := recall(kept_at)) is not None:
        return known
    found = _judge(X, np.asarray(y), folds, sorted(Cs), normalize)
    if kept_at is None:
        return found
    keep(kept_at, found)
    # Read back, so that arrays of length n stay on the disk, memory-mapped.
    return recall(kept_at) or found


def fit_best(
    X: ArrayLike,
    y: ArrayLike,
    folds: NDArray[np.integer],
    *,
    Cs: Sequence[float] = COSTS,
    normalize: Normalize = "l2",
) -> OutputLayer:
    """The linear SVM on all examples at the cost that is best in cross-validation.

    Parameters, errors: as `judge`, for dense features.

    Returns
    -------
    OutputLayer
        The SVM, its weights scaled so that their softmax fits, and the cross-validation.
    """
    return fit_output_layer(X, y, sorted(Cs), folds, normalize=normalize, cv_tol=TOLERANCE)


def scores_path(cache: Path, facts: Any, *, code: Sequence[str] = ("heads", "probe")) -> Path:
    """The file that keeps the scores of the features, examples, folds and costs in `facts`."""
    return memo.memo_path(cache, "heads", facts, code=code, suffix="safetensors")


def recall(path: Path) -> Scores | None:
    """Scores kept at `path`; None where there are none, or the file is damaged."""
    kept = memo.recall_arrays(path, on_disk=("decisions",))
    if kept is None:
        return None
    try:
        return Scores(
            n_features=int(kept["n_features"][0]),
            C=float(kept["C"][0]),
            accuracy_by_C=tuple(kept["accuracy_by_C"].tolist()),
            decisions=kept["decisions"],
            correct=kept["correct"],
            is_screened=bool(kept["is_screened"][0]),
        )
    except KeyError as error:
        memo.report_damage(path, error)
        return None


def keep(path: Path, scores: Scores) -> None:
    """Write scores to the memo file `path`, atomically."""
    memo.keep_arrays(
        path,
        {
            "n_features": np.array([scores.n_features]),
            "C": np.array([scores.C]),
            "accuracy_by_C": np.array(scores.accuracy_by_C),
            "decisions": scores.decisions,
            "correct": scores.correct,
            "is_screened": np.array([scores.is_screened]),
        },
    )


def width(X: Any) -> int:
    """The number of features of an array, of sparse rows, or of rows that stay in a store."""
    return int(X.shape[1] if hasattr(X, "shape") else np.shape(X)[1])


def _judge(
    X: Any,
    y: NDArray[Any],
    folds: NDArray[np.integer],
    Cs: Sequence[float],
    normalize: Normalize,
) -> Scores:
    if not judgeable(y, folds).any():
        Cs = sorted(Cs, key=lambda C: abs(math.log(C)))[:1]
    if hasattr(X, "nnz") and X.shape[0] > sparse.MOST_SPARSE_ROWS:
        best, accuracy, decisions, correct = sparse.cross_validate_large(X, y, Cs, folds)
        C = Cs[best]
    else:
        path = cross_validate(X, y, Cs, folds, normalize, tol=TOLERANCE)
        C, accuracy, decisions = path.C, path.accuracy, path.decisions
        correct = path.correct[path.best]
    return Scores(
        n_features=width(X),
        C=C,
        accuracy_by_C=tuple(float(a) for a in accuracy),
        decisions=decisions,
        correct=correct,
    )
