"""When to answer and when to refuse: accuracy against the share of examples that are answered."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import InputError, argument
from headstart.reliability.conformal import require_share
from headstart.results import Interval


def refusal_threshold(
    top: ArrayLike, correct: ArrayLike, accuracy: float, *, name: str = "target_accuracy"
) -> float:
    """The lowest probability at which to answer, so that answers are right as often as asked.

    Of all thresholds, the one that answers most while ``(n_wrong + 1) / n_answered`` stays within
    the errors allowed. The one more error keeps the choice of the threshold from being
    optimistic (as the correction of knockoffs, Barber and Candès 2015, does).

    Raises InputError where ``accuracy`` lies outside (0, 1), or no threshold reaches it. The
    threshold is 0 where all can be answered.

    Parameters
    ----------
    top : array-like of shape (n,)
        Largest class probability of each example, by a model that had not seen it.
    correct : array-like of bool, shape (n,)
        Whether that class was the right one.
    accuracy : float in (0, 1)
        Share of answers that are to be right.
    name : str
        What the caller's parameter is called, for errors.

    Examples
    --------
    >>> refusal_threshold([0.9] * 18 + [0.4, 0.4], [True] * 18 + [True, False], 0.94)
    0.9
    """
    require_share(name, accuracy)
    p, right, last = _ordered(top, correct)
    n_wrong, n_answered = np.cumsum(~right), np.arange(1, len(p) + 1)
    enough = last & (n_wrong + 1 <= (1 - accuracy) * n_answered + 1e-9)
    if not enough.any():
        best = float((1 - (n_wrong + 1) / n_answered)[last].max()) if len(p) else 0.0
        best = math.floor(1e3 * max(best, 0.0)) / 1e3
        raise InputError(
            f"{argument(name)} {accuracy:g} is out of reach: with {len(p):,} cross-validated examples, "
            f"no threshold makes answers right more often than {best:g} of the time: ask for that or less, or "
            "fit with more examples"
        )
    at = int(np.flatnonzero(enough)[-1])
    return 0.0 if at == len(p) - 1 else float(p[at])


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a threshold does to examples that the model had not seen."""

    threshold: float
    coverage: Interval  # share of examples that are answered
    accuracy: Interval | None  # share of the answers that are right; None where none is answered


def answered(
    top: ArrayLike, correct: ArrayLike, threshold: float, groups: ArrayLike | None = None
) -> Answered:
    """How many examples a threshold answers, and how many of the answers are right.

    Parameters
    ----------
    top, correct : array-like of shape (n,)
        As for :func:`refusal_threshold`.
    groups : array-like of shape (n,), optional
        As of :func:`headstart.heads.accuracy_interval`.
    """
    from headstart.heads.accuracy import (
        accuracy_interval,  # brings SciPy, which predicting does not need
    )

    kept = np.asarray(top, dtype=np.float64) >= threshold
    right = np.asarray(correct, dtype=bool)[kept]
    within = None if groups is None else np.asarray(groups)[kept]
    return Answered(
        threshold=threshold,
        coverage=accuracy_interval(kept, groups=groups),
        accuracy=accuracy_interval(right, groups=within) if len(right) else None,
    )


def risk_coverage(
    top: ArrayLike, correct: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The risk-coverage curve (El-Yaniv and Wiener 2010), in accuracy.

    Returns
    -------
    coverage, accuracy : float64 array (n_thresholds,)
        For each distinct probability as threshold: the share that is answered, ascending, and the
        share of these answers that is right.
    """
    p, right, last = _ordered(top, correct)
    n_answered = np.arange(1, len(p) + 1)
    accuracy = np.cumsum(right) / n_answered
    return n_answered[last] / len(p), accuracy[last]


def _ordered(
    top: ArrayLike, correct: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Both, the most probable first, and which is the last of its probability."""
    p, right = np.asarray(top, dtype=np.float64), np.asarray(correct, dtype=bool)
    order = np.argsort(-p, kind="stable")
    p, right = p[order], right[order]
    last = np.ones(len(p), dtype=bool)
    last[:-1] = p[1:] < p[:-1]
    return p, right, last
