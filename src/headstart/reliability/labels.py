"""Which labels the other examples contradict, and how many labels look wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads.accuracy import accuracy_interval
from headstart.heads.calibration import fit_temperature
from headstart.results import Interval

# Weight of the squared norm, for rows of unit length: that of the screening of candidates.
RIDGE = 0.3


def left_out_scores(
    X: ArrayLike, member: ArrayLike, together: ArrayLike | None = None, *, ridge: float = RIDGE
) -> NDArray[np.float64]:
    """Scores of each example by a ridge classifier that is fitted without it, in closed form.

    With the hat matrix ``H``, the residuals of rows ``F``, had they been left out, are
    ``(I - H_FF)^-1 e_F`` (Allen 1974 for one row, An, Liu and Venkatesh 2007 for several). One
    factorization serves all.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Features, rows of unit length.
    member : array-like of shape (n,), int
        Class of each row, 0 to K - 1.
    together : array-like of shape (n,), optional
        Rows that share a value, such as copies of a picture, are left out together.
    ridge : float > 0

    Returns
    -------
    float64 array (n, K)
        Targets are 1 for a row's own class and -1 for the others.
    """
    data, own = np.asarray(X, dtype=np.float64), np.asarray(member)
    Z = np.column_stack([data, np.ones(len(data))])
    Y = 2.0 * np.eye(int(own.max()) + 1)[own] - 1
    n, d = Z.shape
    if n <= d:
        inverse = np.linalg.inv(Z @ Z.T + ridge * np.eye(n))
        # I - H = ridge (K + ridge I)^-1
        rest, residual = ridge * inverse, ridge * (inverse @ Y)
        blocks = ((rows, rest[np.ix_(rows, rows)]) for rows in _groups(n, together))
    else:
        inverse = np.linalg.inv(Z.T @ Z + ridge * np.eye(d))
        residual = Y - Z @ (inverse @ (Z.T @ Y))
        blocks = (
            (rows, np.eye(len(rows)) - Z[rows] @ inverse @ Z[rows].T)
            for rows in _groups(n, together)
        )
    scores = np.empty_like(Y)
    for rows, block in blocks:
        out = residual[rows] / block if len(rows) == 1 else np.linalg.solve(block, residual[rows])
        scores[rows] = Y[rows] - out
    return np.asarray(scores)


def _groups(n: int, together: ArrayLike | None) -> Iterator[NDArray[np.intp]]:
    """Rows that are left out together."""
    if together is None:
        yield from np.arange(n)[:, None]
        return
    group = np.unique(np.asarray(together), return_inverse=True)[1]
    order = np.argsort(group, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


@dataclass(frozen=True, kw_only=True)
class LabelCheck:
    """What left-out scores say of the labels.

    Attributes
    ----------
    margin : float64 array (n,)
        Score of the own class less the largest other one: the smaller, the more suspicious.
    suggested : int array (n,)
        Class with the largest score.
    P : float64 array (n, K)
        Calibrated probabilities.
    is_counted : bool array (n,)
        Whether confident learning counts the label as wrong.
    noise : Interval
        Share of labels that it counts.
    """

    margin: NDArray[np.float64]
    suggested: NDArray[np.intp]
    P: NDArray[np.float64]
    is_counted: NDArray[np.bool_]
    noise: Interval


def check_labels(scores: ArrayLike, member: ArrayLike) -> LabelCheck:
    """Margins, and the count of confident learning (Northcutt, Jiang and Chuang 2021).

    A label ``i`` counts as wrong where another class ``j`` is more probable than it is, on average,
    for the examples that are labelled ``j``; of several such classes the most probable. The interval is
    Wilson's. Hard examples count too, so the share errs upwards where classes overlap.

    Parameters
    ----------
    scores : array-like of shape (n, K)
        As of :func:`left_out_scores`.
    member : array-like of shape (n,), int
        Given classes.
    """
    s, own = np.asarray(scores, dtype=np.float64), np.asarray(member)
    at = np.arange(len(s))
    others = s.copy()
    others[at, own] = -np.inf
    P = fit_temperature(s, own).probabilities(s)
    means = np.array([P[own == k, k].mean() if (own == k).any() else 1 for k in range(s.shape[1])])
    confident = np.where(means <= P, P, -1)
    counted = confident.argmax(axis=1)
    is_counted = (confident[at, counted] > 0) & (counted != own)
    return LabelCheck(
        margin=s[at, own] - others.max(axis=1),
        suggested=s.argmax(axis=1),
        P=P,
        is_counted=is_counted,
        noise=accuracy_interval(is_counted),
    )
