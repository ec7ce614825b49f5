"""Parts of the data where a classifier is worse: intervals that allow for looking at many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from headstart.heads.accuracy import accuracy_interval
from headstart.results import Interval

# A part of fewer examples says nothing.
FEWEST = 5


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the examples.

    Attributes
    ----------
    by, value : str
        What the examples were divided by, and which part it is.
    n : int
    accuracy : Interval
        At a level of 95 % for all parts together (Bonferroni).
    rest : float
        Accuracy of all other examples.
    p_value : float
        Fisher's exact test against the others, times the number of parts; 1 at most.
    is_worse, is_better : bool
        Significantly.
    """

    by: str
    value: str
    n: int
    accuracy: Interval
    rest: float
    p_value: float
    is_worse: bool
    is_better: bool


def judge_parts(
    correct: ArrayLike,
    divisions: Mapping[str, Sequence[str]],
    groups: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> list[Part]:
    """Accuracy of every part of several divisions, the worst first.

    Parameters
    ----------
    correct : array-like of bool, shape (n,)
        Whether each example was classified correctly by a model that had not seen it.
    divisions : mapping of name to sequence of str, length n
        The part that each example belongs to; "" for none.
    groups : array-like of shape (n,), optional
        As of :func:`headstart.heads.accuracy_interval`.
    level : float in (0, 1)
        That all intervals hold together.

    Returns
    -------
    list of Part
        Those of :data:`FEWEST` examples or more that have others beside them.
    """
    hits = np.asarray(correct, dtype=bool)
    members: list[tuple[str, str, NDArray[np.bool_]]] = []
    for by, values in divisions.items():
        labels = np.asarray(values, dtype=str)
        for value in np.unique(labels[labels != ""]):
            inside = labels == value
            if FEWEST <= inside.sum() <= len(hits) - FEWEST:
                members.append((by, str(value), inside))
    n_parts = max(len(members), 1)
    found = []
    for by, value, inside in members:
        own, others = hits[inside], hits[~inside]
        table = [[own.sum(), (~own).sum()], [others.sum(), (~others).sum()]]
        p = min(float(stats.fisher_exact(table).pvalue) * n_parts, 1.0)
        within = None if groups is None else np.asarray(groups)[inside]
        is_significant = p < 1 - level
        found.append(
            Part(
                by=by,
                value=value,
                n=int(inside.sum()),
                accuracy=accuracy_interval(own, 1 - (1 - level) / n_parts, groups=within),
                rest=float(others.mean()),
                p_value=p,
                is_worse=is_significant and own.mean() < others.mean(),
                is_better=is_significant and own.mean() > others.mean(),
            )
        )
    return sorted(found, key=lambda part: (not part.is_worse, part.accuracy.value, part.p_value))


def in_thirds(values: ArrayLike, names: Sequence[str]) -> list[str]:
    """The third of the values that each falls into, by name; "" for all where they hardly differ.

    Parameters
    ----------
    values : array-like of shape (n,), float
    names : sequence of three str
        Low, middle, high.
    """
    x = np.asarray(values, dtype=np.float64)
    low, high = np.quantile(x, [1 / 3, 2 / 3])
    if not low < high:
        low = high = np.median(x)
        sides = np.where(x < low, 0, np.where(x > high, 2, 1))
        if len(np.unique(sides)) < 2:
            return [""] * len(x)
        return [names[int(s)] for s in sides]
    return [names[int(s)] for s in np.where(x <= low, 0, np.where(x > high, 2, 1))]
