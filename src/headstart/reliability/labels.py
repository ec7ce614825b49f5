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
BLOCK = 4_096


def left_out_scores(
    X: ArrayLike, member: ArrayLike, together: ArrayLike | None = None, *, ridge: float = RIDGE
) -> NDArray[np.float64]:
    """Scores of each example by a ridge classifier that is fitted without it, in closed form.

    With the hat matrix ``H``, the residuals of rows ``F``, had they been left out, are
    ``(I - H_FF)^-1 e_F`` (Allen 1974 for one row, An, Liu and Venkatesh 2007 for several). One
    factorization serves all; time grows with n, and so does memory, by Y alone.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Features, rows of unit length.
    member : array-like of shape (n,), int
        Class of each row, 0 to K - 1.
    together : array-like of shape (n,), optional
        Rows that share a value, such as copies of a picture, are left out together.

    Returns
    -------
    float64 array (n, K)
        Targets are 1 for a row's own class and -1 for the others.
    """
    data, own = np.asarray(X), np.asarray(member)
    n, d = len(data), data.shape[1] + 1
    Y = 2.0 * np.eye(int(own.max()) + 1)[own] - 1
    units = np.arange(n) if together is None else np.unique(together, return_inverse=True)[1]
    units = units.reshape(-1)
    if n <= d:
        Z = with_ones(data)
        # I - H = ridge (K + ridge I)^-1
        rest = ridge * np.linalg.inv(Z @ Z.T + ridge * np.eye(n))
        residual = rest @ Y
        scores: NDArray[np.float64] = np.empty(Y.shape)
        for rows in _groups(units):
            block = rest[np.ix_(rows, rows)]
            out = (
                residual[rows] / block if len(rows) == 1 else np.linalg.solve(block, residual[rows])
            )
            scores[rows] = Y[rows] - out
        return scores
    return _left_out_of_many(data, Y, units, ridge)


def _left_out_of_many(
    data: NDArray[np.floating],
    Y: NDArray[np.float64],
    units: NDArray[np.intp],
    ridge: float,
) -> NDArray[np.float64]:
    """The same of more rows than columns, a block of rows at a time."""
    order = np.argsort(units, kind="stable")
    d = data.shape[1] + 1
    gram, moment = ridge * np.eye(d), np.zeros((d, Y.shape[1]))
    for rows in _blocks(np.arange(len(data))):
        Z = with_ones(data[rows])
        gram += Z.T @ Z
        moment += Z.T @ Y[rows]
    inverse = np.linalg.inv(gram)
    weights = inverse @ moment
    is_alone = np.bincount(units)[units] == 1
    scores: NDArray[np.float64] = np.empty(Y.shape)
    for rows in _blocks(order[is_alone[order]]):
        Z = with_ones(data[rows])
        leverage = ((Z @ inverse) * Z).sum(axis=1)
        scores[rows] = Y[rows] - (Y[rows] - Z @ weights) / (1 - leverage)[:, None]
    for rows in _groups(units[order[~is_alone[order]]], order[~is_alone[order]]):
        Z = with_ones(data[rows])
        residual = Y[rows] - Z @ weights
        if len(rows) <= d:
            out = np.linalg.solve(np.eye(len(rows)) - Z @ inverse @ Z.T, residual)
        else:  # the same, as (I - Z A Z')^-1 = I + Z (A^-1 - Z'Z)^-1 Z'
            out = residual + Z @ np.linalg.solve(gram - Z.T @ Z, Z.T @ residual)
        scores[rows] = Y[rows] - out
    return scores


def with_ones(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows with a constant feature, in float64."""
    return np.column_stack([rows.astype(np.float64), np.ones(len(rows))])


def _blocks(rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """A few thousand rows at a time, so that copies of all are never made."""
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]


def _groups(
    units: NDArray[np.intp], rows: NDArray[np.intp] | None = None
) -> Iterator[NDArray[np.intp]]:
    """Rows that are left out together."""
    if not len(units):
        return
    order = np.argsort(units, kind="stable")
    ends = np.flatnonzero(np.diff(units[order])) + 1
    yield from np.split(order if rows is None else rows[order], ends)


@dataclass(frozen=True, kw_only=True)
class LabelCheck:
    """What left-out scores say of the labels."""

    # (n,); score of the own class less the largest other one: the smaller, the more suspicious
    margin: NDArray[np.float64]
    suggested: NDArray[np.intp]  # (n,); class with the largest score
    P: NDArray[np.float64]  # (n, K); calibrated probabilities
    is_counted: NDArray[np.bool_]  # (n,); whether confident learning counts the label as wrong
    noise: Interval  # share of labels that it counts


def check_labels(scores: ArrayLike, member: ArrayLike) -> LabelCheck:
    """Margins, and which labels count as wrong by :func:`counted_as`, with Wilson's interval of their share.

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
    is_counted = counted_as(P, own) != own
    return LabelCheck(
        margin=s[at, own] - others.max(axis=1),
        suggested=s.argmax(axis=1),
        P=P,
        is_counted=is_counted,
        noise=accuracy_interval(is_counted),
    )


def counted_as(P: NDArray[np.floating], member: NDArray[np.integer]) -> NDArray[np.intp]:
    """The class as which confident learning counts each example (Northcutt, Jiang and Chuang 2021).

    A class ``j`` is plausible for an example where its probability is at least its mean over the
    examples that are labelled ``j``. An example counts as the most probable of its plausible classes,
    the given one among them, and its label as wrong where that is another class. Hard examples count
    too, so the number of wrong labels errs upwards where classes overlap.

    Parameters
    ----------
    P : float array (n, K)
        Class probabilities, each row by a classifier that was fitted without the example.
    member : int array (n,)
        Given classes.

    Returns
    -------
    int array (n,)
        The given class where the label does not count as wrong.
    """
    n = np.bincount(member, minlength=P.shape[1])
    own = P[np.arange(len(P)), member]
    means = np.bincount(member, weights=own, minlength=P.shape[1]) / np.maximum(n, 1)
    means[n == 0] = 1
    confident = np.where(means <= P, P, -1)
    counted = confident.argmax(axis=1)
    is_counted = confident[np.arange(len(P)), counted] > 0
    return np.where(is_counted, counted, member)
