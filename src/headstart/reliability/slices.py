"""Parts of the data where a classifier is worse: intervals that allow for looking at many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads.accuracy import FEW_GROUPS, design_effect, share_interval
from headstart.results import Interval

# A part of fewer examples says nothing.
FEWEST = 5


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the examples."""

    by: str  # what the examples were divided by
    value: str  # which part it is
    n: int
    accuracy: Interval  # at a level of 95 % for all parts together (Bonferroni)
    rest: float  # accuracy of all other examples
    # Fisher's exact test against the others, times the number of parts; 1 at most. Of grouped
    # examples, on effective numbers. None of an older run.
    p_value: float | None = None
    is_worse: bool  # whether it is significantly less accurate than the rest
    is_better: bool = False  # whether it is significantly more accurate than the rest


def judge_parts(
    correct: ArrayLike,
    divisions: Mapping[str, Sequence[str]],
    groups: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> list[Part]:
    """Accuracy of every part of several divisions, the worst first.

    Only parts of :data:`FEWEST` examples or more that have others beside them are judged.

    Parameters
    ----------
    correct : array-like of bool, shape (n,)
        Whether each example was classified correctly by a model that had not seen it.
    divisions : mapping of name to sequence of str, length n
        The part that each example belongs to; "" for none.
    groups : array-like of shape (n,), optional
        Groups of examples that are not independent of one another. Interval and test then count
        effective numbers of examples: those of a part divided by its design effect (Kish 1965), for
        which the correlation within groups is estimated from all parts, as one may have few groups.
        A division into the groups themselves is judged by examples, and so is everything where there
        are fewer than :data:`headstart.heads.accuracy.FEW_GROUPS` groups.
    level : float in (0, 1)
        That all intervals hold together.
    """
    hits = np.asarray(correct, dtype=bool)
    members: list[tuple[str, str, NDArray[np.intp]]] = []
    for by, values in divisions.items():
        names, codes, sizes = np.unique(
            np.asarray(values, dtype=str), return_inverse=True, return_counts=True
        )
        members += [
            (by, str(names[k]), np.flatnonzero(codes.reshape(-1) == k))
            for k in np.flatnonzero((sizes >= FEWEST) & (sizes <= len(hits) - FEWEST))
            if names[k]
        ]
    n_parts = max(len(members), 1)
    effect = _design_effects(hits, divisions, groups)
    found: list[tuple[float, Part]] = []
    for by, value, rows in members:
        inside = np.zeros(len(hits), dtype=bool)
        inside[rows] = True
        own, others = hits[inside], hits[~inside]
        n_own = len(own) / effect(by, inside)
        p = _fisher(own, n_own, others, len(others) / effect(by, ~inside))
        p = min(p * n_parts, 1.0)
        is_significant = p < 1 - level
        part = Part(
            by=by,
            value=value,
            n=int(inside.sum()),
            accuracy=share_interval(float(own.mean()), n_own, 1 - (1 - level) / n_parts),
            rest=float(others.mean()),
            p_value=p,
            is_worse=is_significant and bool(own.mean() < others.mean()),
            is_better=is_significant and bool(own.mean() > others.mean()),
        )
        found.append((p, part))
    found.sort(key=lambda pair: (not pair[1].is_worse, pair[1].accuracy.value, pair[0]))
    return [part for _, part in found]


def _fisher(own: NDArray[np.bool_], n_own: float, others: NDArray[np.bool_], n: float) -> float:
    """The p-value of Fisher's exact test on effective numbers, rounded."""
    from scipy import stats  # slow to import, and predicting needs none of it

    shares = ((own.mean(), n_own), (others.mean(), n))
    table = [[round(float(share * m)), round(float((1 - share) * m))] for share, m in shares]
    return float(stats.fisher_exact(table).pvalue)


def _design_effects(
    hits: NDArray[np.bool_], divisions: Mapping[str, Sequence[str]], groups: ArrayLike | None
) -> Callable[[str, NDArray[np.bool_]], float]:
    """The design effect of a part of a division, at least 1."""
    units = np.arange(len(hits)) if groups is None else np.asarray(groups)
    units = np.unique(units, return_inverse=True)[1].reshape(-1)
    n_groups = int(units.max(initial=-1)) + 1
    if not FEW_GROUPS <= n_groups < len(hits):
        return lambda by, inside: 1.0
    correlations = {by: _correlation(hits, values, units) for by, values in divisions.items()}

    def effect(by: str, inside: NDArray[np.bool_]) -> float:
        correlation = correlations[by]
        if correlation is None:
            return 1.0
        pooled = 1 + (_mean_size(units[inside]) - 1) * correlation
        return max(pooled, design_effect(hits[inside], units[inside]))

    return effect


def _correlation(
    hits: NDArray[np.bool_], values: Sequence[str], units: NDArray[np.integer]
) -> float | None:
    """Correlation within groups beyond that of the parts; None of a division into the groups."""
    part = np.unique(np.asarray(values), return_inverse=True)[1].reshape(-1)
    n_parts, n_groups, n = int(part.max()) + 1, int(units.max()) + 1, len(hits)
    if n_parts == n_groups == len(np.unique(np.stack([part, units]), axis=1)[0]):
        return None
    if n_groups - n_parts < FEW_GROUPS:  # too few to tell groups from parts
        part, n_parts = np.zeros(n, dtype=np.intp), 1
    residuals = hits - (np.bincount(part, weights=hits) / np.bincount(part))[part]
    spread = float((residuals**2).sum()) / (n - n_parts) * n
    between = float((np.bincount(units, weights=residuals) ** 2).sum())
    between *= n_groups / (n_groups - n_parts)
    if spread == 0:
        return 0.0
    return float(np.clip((between / spread - 1) / (_mean_size(units) - 1), 0, 1))


def _mean_size(units: NDArray[np.integer]) -> float:
    """Mean size of the group of an example."""
    sizes = np.bincount(units)
    return float((sizes**2).sum() / sizes.sum())


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
