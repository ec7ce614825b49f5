"""Nearest neighbours among features, and how often they are of the same class.

Letters: ``q`` queries, ``n`` rows of the gallery, ``d`` features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

from headstart.heads.accuracy import design_effect, share_interval
from headstart.results import Interval

__all__ = ["Retrieval", "average_precision", "measure_retrieval", "nearest", "precision_at"]

# Queries whose distances to the whole gallery are held at once.
BLOCK = 256


def nearest(
    queries: ArrayLike, gallery: ArrayLike, k: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The ``k`` rows of the gallery with the smallest Euclidean distance to each query.

    Razavian et al., "CNN features off-the-shelf" (2014), section 4, retrieve by this distance of
    features of unit length.

    Raises ValueError where ``k`` is below 1, or the shapes do not fit.

    Parameters
    ----------
    queries : array-like or sparse array of shape (q, d), float
    gallery : array-like or sparse array of shape (n, d), float
        Sparse if the queries are.
    k : int >= 1
        Where the gallery has fewer rows, all are given.

    Returns
    -------
    rows : int array (q, min(k, n))
        Nearest first; of equals, the earlier row.
    distances : float64 array (q, min(k, n))
    """
    Q, G = _checked(queries, gallery)
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}")
    rows = np.empty((Q.shape[0], min(k, G.shape[0])), dtype=np.intp)
    for block, order in _orders(Q, G):
        rows[block] = order[:, :k]
    # From the differences: the sorted ones lose what two near rows differ by.
    each = ((found, np.full(len(found), i)) for i, found in enumerate(rows))
    distances = np.stack([_lengths(G[found] - Q[own]) for found, own in each])
    return rows, distances


def precision_at(relevant: ArrayLike, k: int) -> float:
    """Share of relevant rows among the first ``k``.

    Raises ValueError where ``k`` is outside 1 to n.

    Parameters
    ----------
    relevant : array-like of bool, shape (n,)
        In the order of retrieval.
    """
    hits = np.asarray(relevant, dtype=bool)
    if not 1 <= k <= hits.size:
        raise ValueError(f"k must be from 1 to {hits.size}, the rows retrieved; got {k}")
    return float(hits[:k].mean())


def average_precision(relevant: ArrayLike) -> float:
    """Mean of the precisions at the places of the relevant rows; NaN where none is relevant.

    Parameters
    ----------
    relevant : array-like of bool, shape (n,)
        The whole gallery in the order of retrieval.
    """
    places = np.flatnonzero(np.asarray(relevant, dtype=bool))
    if not places.size:
        return float("nan")
    return float((np.arange(1, places.size + 1) / (places + 1)).mean())


class Retrieval(msgspec.Struct, frozen=True, kw_only=True):
    """How good a gallery is at giving images of the query's class."""

    ks: tuple[int, ...]  # ascending
    precision: tuple[Interval, ...]  # mean precision at each of ``ks`` over the queries
    mean_average_precision: Interval
    # label to float; mean average precision of the queries of each class
    by_class: dict[str, float]
    n_queries: int  # queries that count
    n_left_out: int  # queries whose class the gallery does not have
    n_gallery: int


def measure_retrieval(
    queries: ArrayLike,
    query_labels: ArrayLike,
    gallery: ArrayLike,
    gallery_labels: ArrayLike,
    ks: Sequence[int] = (1, 5, 10),
    groups: ArrayLike | None = None,
) -> Retrieval:
    """Precision at k and mean average precision; relevant is what has the query's label.

    Raises ValueError where the shapes do not fit, or no query has a relevant row.

    Parameters
    ----------
    queries : array-like or sparse array of shape (q, d), float
    query_labels : array-like of shape (q,)
    gallery : array-like or sparse array of shape (n, d), float
        Sparse if the queries are.
    gallery_labels : array-like of shape (n,)
    ks : sequence of int >= 1
        Those above n are left out.
    groups : array-like of shape (q,), optional
        Of the queries, as of :func:`headstart.heads.accuracy_interval`.

    Returns
    -------
    Retrieval
        Its intervals are of the mean over queries: Wilson's where every query has 0 or 1, else 1.96
        standard errors with a query more at 0 and at 1, within 0 and 1.
    """
    Q, G = _checked(queries, gallery)
    asked, known = np.asarray(query_labels), np.asarray(gallery_labels)
    if len(asked) != Q.shape[0] or len(known) != G.shape[0]:
        raise ValueError(
            f"one label a row is needed; got {len(asked)} for {Q.shape[0]} queries and {len(known)} "
            f"for {G.shape[0]} rows of the gallery"
        )
    counted = np.isin(asked, known)
    if not counted.any():
        raise ValueError("no query has a row of its label in the gallery")
    Q, asked = Q[counted], asked[counted]
    units = None if groups is None else np.asarray(groups)[counted]
    n = G.shape[0]
    wanted = sorted({k for k in ks if 1 <= k <= n})
    precisions = np.empty((len(asked), len(wanted)))
    averages = np.empty(len(asked))
    for block, order in _orders(Q, G):
        relevant = known[order] == asked[block, None]
        hits = np.cumsum(relevant, axis=1)
        precisions[block] = hits[:, [k - 1 for k in wanted]] / np.array(wanted)
        at_place = hits / np.arange(1, n + 1)
        averages[block] = (at_place * relevant).sum(axis=1) / hits[:, -1]
    return Retrieval(
        ks=tuple(wanted),
        precision=tuple(_mean_interval(column, units) for column in precisions.T),
        mean_average_precision=_mean_interval(averages, units),
        by_class={str(c): float(averages[asked == c].mean()) for c in np.unique(asked)},
        n_queries=len(asked),
        n_left_out=int((~counted).sum()),
        n_gallery=n,
    )


def _orders(Q: Any, G: Any) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """Blocks of queries with the order of the whole gallery for each of them."""
    squares = np.asarray((G * G).sum(axis=1)).ravel()
    for start in range(0, Q.shape[0], BLOCK):
        block = slice(start, min(start + BLOCK, Q.shape[0]))
        products = Q[block] @ G.T
        if issparse(products):
            products = products.toarray()
        # The square of the query's own length changes no order.
        yield block, np.argsort(squares - 2 * products, axis=1, kind="stable")


def _lengths(rows: Any) -> NDArray[np.float64]:
    """Euclidean norm of each row."""
    return np.sqrt(np.asarray((rows * rows).sum(axis=1), dtype=np.float64).ravel())


def _checked(queries: Any, gallery: Any) -> tuple[Any, Any]:
    """Both as float64, arrays or sparse."""
    if issparse(queries) and issparse(gallery):
        Q, G = csr_array(queries, dtype=np.float64), csr_array(gallery, dtype=np.float64)
    else:
        Q, G = np.asarray(queries, dtype=np.float64), np.asarray(gallery, dtype=np.float64)
    if Q.ndim != 2 or G.ndim != 2 or Q.shape[1] != G.shape[1] or not min(*Q.shape, *G.shape):
        raise ValueError(
            "queries and gallery must be (rows, features) with as many features, and not empty; "
            f"got {Q.shape} and {G.shape}"
        )
    return Q, G


def _mean_interval(values: NDArray[np.float64], groups: ArrayLike | None) -> Interval:
    """Of shares; Wilson's where each is 0 or 1, else with one more at each end for the variance."""
    value, n = float(values.mean()), len(values) / design_effect(values, groups)
    if np.isin(values, (0.0, 1.0)).all():
        return share_interval(value, n, 0.95)
    squares = n * float(values.var()) + value**2 + (1 - value) ** 2
    half = 1.96 * (squares / (n + 1)) ** 0.5 / (n + 2) ** 0.5
    return Interval(value, max(0.0, value - half), min(1.0, value + half))
