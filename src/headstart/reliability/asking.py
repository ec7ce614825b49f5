"""Which unlabelled examples to label next, and whether choosing them is worth more than chance.

Letters: ``n`` examples, ``r`` columns of features, ``K`` classes, ``m`` examples to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from headstart.reliability.novelty import choose_rows
from headstart.results import Difference

RIDGE = 0.3
# Neighbours that typicality is computed from, and largest number of clusters.
N_NEAR, MOST_CLUSTERS = 10, 200
# Rows among which neighbours are looked for, and rows whose distances are in memory at once.
MOST_NEAR, BLOCK = 10_000, 1_024
# Examples that a replay plays on: its gains hardly change with more.
MOST_PLAYED = 6_000
# Size of an array above which rows keep their precision when they are reduced.
LARGE = 50_000_000
# Of the mix: how many times as many unsure examples are clustered as are chosen.
N_UNSURE = 5
# Joint confidence level of the gains of all strategies.
LEVEL = 0.95

F = NDArray[np.floating]
Chosen = NDArray[np.intp]
Weights = F | None  # (n,); how much each example counts once it is labelled; None: all the same
# X, known, member, pool, m, rng, weights: the rows of the pool to label, at most m
Strategy = Callable[
    [F, Chosen, NDArray[np.intp], Chosen, int, np.random.Generator, Weights], Chosen
]


def at_random(
    X: F,
    known: Chosen,
    member: NDArray[np.intp],
    pool: Chosen,
    m: int,
    rng: np.random.Generator,
    weights: Weights = None,
) -> Chosen:
    """Any of the pool: what the others are compared with."""
    return rng.permutation(pool)[:m]


def by_margin(
    X: F,
    known: Chosen,
    member: NDArray[np.intp],
    pool: Chosen,
    m: int,
    rng: np.random.Generator,
    weights: Weights = None,
) -> Chosen:
    """Those whose two highest scores are nearest (Scheffer, Decomain and Wrobel 2001)."""
    return pool[np.argsort(_margins(X, known, member, pool, weights), kind="stable")[:m]]


def by_coverage(
    X: F,
    known: Chosen,
    member: NDArray[np.intp],
    pool: Chosen,
    m: int,
    rng: np.random.Generator,
    weights: Weights = None,
) -> Chosen:
    """Each the farthest from all that are labelled or chosen (core-set, Sener and Savarese 2018)."""
    nearest = _reduced(X, pool, _some(known, rng), lambda squares: squares.min(axis=1))
    chosen: list[int] = []
    for _ in range(min(m, len(pool))):
        i = int(nearest.argmax())
        chosen.append(i)
        nearest = np.minimum(nearest, squares_between(X[pool], X[pool[i]][None])[:, 0])
        nearest[i] = -np.inf
    return pool[chosen]


def by_typicality(
    X: F,
    known: Chosen,
    member: NDArray[np.intp],
    pool: Chosen,
    m: int,
    rng: np.random.Generator,
    weights: Weights = None,
) -> Chosen:
    """The densest of each cluster without labels (TypiClust, Hacohen, Dekel and Weinshall 2022)."""
    both = np.concatenate([known, pool])
    cluster = clusters_of(X[both], min(len(known) + m, MOST_CLUSTERS), rng)
    typical = _reduced(X, pool, _some(both, rng), _typicality)
    of_pool = cluster[len(known) :]
    n_known = np.bincount(cluster[: len(known)], minlength=cluster.max() + 1)
    sizes = np.bincount(of_pool, minlength=cluster.max() + 1)
    taken = np.zeros(len(pool), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < min(m, len(pool)):
        open_clusters = np.flatnonzero(sizes > 0)
        # Fewest labels first; of these the largest.
        order = np.lexsort((-sizes[open_clusters], n_known[open_clusters]))
        best = open_clusters[order[0]]
        inside = np.flatnonzero((of_pool == best) & ~taken)
        i = int(inside[typical[inside].argmax()])
        chosen.append(i)
        taken[i] = True
        sizes[best] -= 1
        n_known[best] += 1
    return pool[chosen]


def by_mix(
    X: F,
    known: Chosen,
    member: NDArray[np.intp],
    pool: Chosen,
    m: int,
    rng: np.random.Generator,
    weights: Weights = None,
) -> Chosen:
    """The unsure ones spread out: of each cluster among them the least sure (Citovsky et al. 2021)."""
    margins = _margins(X, known, member, pool, weights)
    unsure = np.argsort(margins, kind="stable")[: N_UNSURE * m]
    cluster = clusters_of(X[pool[unsure]], min(m, len(unsure)), rng)
    firsts = np.unique(cluster, return_index=True)[1]  # they are sorted by margin
    rest = np.setdiff1d(np.arange(len(unsure)), firsts)
    order = np.concatenate([np.sort(firsts), rest])
    return np.asarray(pool[unsure[order[:m]]])


STRATEGIES: dict[str, Strategy] = {
    "margin": by_margin,
    "typicality": by_typicality,
    "coverage": by_coverage,
    "mix": by_mix,
}


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """One strategy on examples whose labels are known."""

    name: str
    # balanced accuracy after the examples that it chose were labelled, mean of the repeats
    accuracy: float
    # over as many random ones; the intervals of all strategies together hold with 95 %
    gain: Difference
    # how many random examples reach the same; None where even all of the pool do not
    worth: float | None
    is_better: bool  # significantly


@dataclass(frozen=True, kw_only=True)
class Replay:
    """All strategies on examples whose labels are known."""

    # examples that it was played on: all, or :data:`MOST_PLAYED` drawn with each class's share
    n_played: int
    # n_start, n_chosen, n_judged, n_repeats: labels at the start, labels added, examples judged,
    # repeats
    n_start: int
    n_chosen: int
    n_judged: int
    n_repeats: int
    # start, random: balanced accuracy before, and with random ones
    start: float
    random: float
    strategies: tuple[Replayed, ...]  # the best first

    @property
    def best(self) -> Replayed | None:
        """The best strategy, if it is significantly better than chance."""
        return next((s for s in self.strategies if s.is_better), None)


def split_units(
    units: NDArray[np.intp], sizes: Sequence[int], rng: np.random.Generator
) -> list[Chosen]:
    """Rows at random: a part for each size, then the rest. No unit is in two parts.

    Units are added to a part until it has as many rows as asked for; each part has at least one unit.

    Raises ValueError where there are fewer units than parts.

    Parameters
    ----------
    units : int array (n,)
        The unit of each row, from 0 on without gaps.
    """
    counts = np.bincount(units)
    if len(counts) <= len(sizes):
        raise ValueError(f"{len(sizes) + 1} parts need as many units; got {len(counts)}")
    order = rng.permutation(len(counts))
    rank = np.argsort(order)
    filled = np.cumsum(counts[order])
    cuts, at = [], 0
    for n_left, target in zip(range(len(sizes), 0, -1), np.cumsum(sizes), strict=True):
        at = min(max(int(np.searchsorted(filled, target)) + 1, at + 1), len(counts) - n_left)
        cuts.append(int(filled[at - 1]))
    return np.split(np.argsort(rank[units], kind="stable"), cuts)


def units_of(together: ArrayLike | None, rows: Chosen) -> NDArray[np.intp]:
    """The unit of each of some rows, from 0 on: a row of its own, or those that share a value."""
    if together is None:
        return np.arange(len(rows))
    found = np.unique(np.asarray(together)[rows], return_inverse=True)[1]
    return np.asarray(found.reshape(-1), dtype=np.intp)


def replay(
    X: ArrayLike,
    member: ArrayLike,
    m: int,
    together: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    n_repeats: int = 20,
    seed: int = 0,
) -> Replay | None:
    """Replay the choice on labelled examples; None where the held-out ones of a repeat have no weight.

    Each repeat holds two fifths of the examples out to judge by, labels a part of the others at random, lets
    each strategy choose ``m`` of the rest (fewer where there are not enough), and fits a ridge classifier
    with their labels. Of many examples :data:`MOST_PLAYED` are played on.

    Raises ValueError where there are fewer than three units of `together`.

    Parameters
    ----------
    X : array-like of shape (n, r)
        Features of unit length.
    member : array-like of shape (n,), int
    m : int >= 1
    together : array-like of shape (n,), optional
        Rows that share a value, such as copies, are judged, labelled or in the pool together; sizes are
        then means of the repeats.
    weights : array-like of shape (n,), optional
        How much each example counts where it is labelled or judged.
    n_repeats : int >= 2
    """
    rows = choose_rows(member, MOST_PLAYED)
    data, own = np.asarray(X, dtype=np.float64)[rows], np.asarray(member)[rows]
    n, n_classes = len(own), int(own.max()) + 1
    n_judged = max(int(0.4 * n), 1)
    n_pool = n - n_judged
    m = max(1, min(m, n_pool // 3))
    n_start = max(min(2 * n_classes, n_pool - 2 * m), min(n_pool // 4, n_pool - 2 * m), 2)
    steps = [int(v) for v in np.unique(np.linspace(0, n_pool - n_start, 9))]
    if m not in steps:
        steps = sorted([*steps, m])
    units, counts = units_of(together, rows), np.empty((n_repeats, 2))
    w = relative_weights(weights, rows)
    curve = np.empty((n_repeats, len(steps)))
    reached = {name: np.empty(n_repeats) for name in STRATEGIES}
    for repeat in range(n_repeats):
        rng = np.random.default_rng([seed, repeat])
        judged, known, pool = split_units(units, (n_judged, n_start), rng)
        if not w[judged].any():
            return None
        counts[repeat] = len(judged), len(known)
        at = rng.permutation(pool)
        for j, step in enumerate(steps):
            curve[repeat, j] = _accuracy(data, own, np.concatenate([known, at[:step]]), judged, w)
        for name, choose in STRATEGIES.items():
            chosen = choose(data, known, own, pool, m, rng, w)
            reached[name][repeat] = _accuracy(data, own, np.concatenate([known, chosen]), judged, w)
    mean = np.maximum.accumulate(curve.mean(axis=0))
    random = curve[:, steps.index(m)]
    found = [_replayed(name, values, random, steps, mean) for name, values in reached.items()]
    return Replay(
        n_played=n,
        n_start=round(counts[:, 1].mean()),
        n_chosen=m,
        n_judged=round(counts[:, 0].mean()),
        n_repeats=n_repeats,
        start=float(curve[:, 0].mean()),
        random=float(random.mean()),
        strategies=tuple(sorted(found, key=lambda s: -s.accuracy)),
    )


def _replayed(name: str, reached: F, random: F, steps: Sequence[int], mean: F) -> Replayed:
    gain = gain_of(reached - random, len(STRATEGIES))
    accuracy = float(reached.mean())
    worth = None if accuracy > mean[-1] else float(np.interp(accuracy, mean, steps))
    return Replayed(name=name, accuracy=accuracy, gain=gain, worth=worth, is_better=gain.low > 0)


def gain_of(differences: F, n_compared: int) -> Difference:
    """The mean over repeats with Student's interval, corrected for several comparisons.

    Repeats draw from the same images, so the interval is that of the mean over more repeats on these data, not
    on others (Nadeau and Bengio 2003), and docs/label-next.md says so.
    """
    value = float(differences.mean())
    error = float(differences.std(ddof=1) / np.sqrt(len(differences)))
    share = 1 - (1 - LEVEL) / n_compared
    half = float(stats.t.ppf((1 + share) / 2, len(differences) - 1)) * error
    return Difference(value, value - half, value + half)


def scores_of(
    X: F, known: Chosen, member: NDArray[np.intp], rows: Chosen, weights: F | None = None
) -> F:
    """Ridge scores of some rows, (n_rows, K), by those that are labelled.

    Parameters
    ----------
    member : int array (n,)
        Classes; only those of `known` are looked at.
    weights : float array, as many as `known`, optional
        How much each counts.
    """
    n_classes = int(member.max()) + 1
    Z = np.column_stack([X[known], np.ones(len(known))])
    Y = 2.0 * np.eye(n_classes)[member[known]] - 1
    if weights is not None:
        root = np.sqrt(weights)[:, None]
        Z, Y = root * Z, root * Y
    if len(Z) <= Z.shape[1]:
        w = Z.T @ np.linalg.solve(Z @ Z.T + RIDGE * np.eye(len(Z)), Y)
    else:
        w = np.linalg.solve(Z.T @ Z + RIDGE * np.eye(Z.shape[1]), Z.T @ Y)
    return np.asarray(X[rows] @ w[:-1] + w[-1])


def relative_weights(weights: ArrayLike | None, rows: Chosen) -> F:
    """The weights of some rows, 1 on average; all 1 where there are none."""
    if weights is None:
        return np.ones(len(rows))
    own = np.asarray(weights, dtype=np.float64)[rows]
    return np.asarray(own / own.mean()) if own.mean() > 0 else np.ones(len(rows))


def _accuracy(X: F, member: NDArray[np.intp], known: Chosen, judged: Chosen, weights: F) -> float:
    scores = scores_of(X, known, member, judged, weights[known])
    return balanced_accuracy(member[judged], scores.argmax(axis=1), weights[judged])


def balanced_accuracy(
    own: NDArray[np.intp], predicted: NDArray[np.intp], weights: Weights = None
) -> float:
    """The mean share right over the classes that there are; NaN where no example has weight."""
    counts = np.ones(len(own)) if weights is None else weights
    sizes = np.bincount(own, weights=counts)
    hits = np.bincount(own, weights=counts * (own == predicted))
    return float((hits[sizes > 0] / sizes[sizes > 0]).mean()) if sizes.any() else np.nan


def _margins(X: F, known: Chosen, member: NDArray[np.intp], pool: Chosen, weights: Weights) -> F:
    own = None if weights is None else weights[known]
    scores = np.sort(scores_of(X, known, member, pool, own), axis=1)
    return np.asarray(scores[:, -1] - scores[:, -2])


def squares_between(A: F, B: F) -> F:
    """Squared distances of rows, (n_A, n_B)."""
    squares = (A**2).sum(axis=1)[:, None] + (B**2).sum(axis=1) - 2 * A @ B.T
    return np.asarray(np.maximum(squares, 0))


def _some(rows: Chosen, rng: np.random.Generator) -> Chosen:
    """The rows among which near ones are looked for."""
    return rows if len(rows) <= MOST_NEAR else np.sort(rng.choice(rows, MOST_NEAR, replace=False))


def _reduced(X: F, rows: Chosen, others: Chosen, reduce_one: Callable[[F], F]) -> F:
    """A number for each row from its squared distances to others than itself, a block at a time."""
    Z, parts = X[others], []
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        squares = squares_between(X[some], Z)
        squares[some[:, None] == others] = np.inf
        parts.append(reduce_one(squares))
    return np.concatenate(parts) if parts else np.empty(0)


def _typicality(squares: F) -> F:
    """Inverse mean distance to the nearest."""
    k = max(min(N_NEAR, squares.shape[1] - 1), 1)
    near = np.partition(squares, k - 1, axis=1)[:, :k]
    return np.asarray(1 / (np.sqrt(near).mean(axis=1) + 1e-12))


def clusters_of(X: F, k: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """The cluster of each row, (n,): a few rounds of Lloyd's k-means from k-means++."""
    centres = X[rng.integers(len(X))][None]
    nearest = squares_between(X, centres)[:, 0]
    while len(centres) < k and nearest.max() > 0:
        i = rng.choice(len(X), p=nearest / nearest.sum())
        centres = np.vstack([centres, X[i]])
        nearest = np.minimum(nearest, squares_between(X, X[i][None])[:, 0])
    own = squares_between(X, centres).argmin(axis=1)
    for _ in range(8):
        sums = np.zeros_like(centres)
        np.add.at(sums, own, X)
        sizes = np.bincount(own, minlength=len(centres))
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        own = squares_between(X, centres).argmin(axis=1)
    return np.asarray(np.unique(own, return_inverse=True)[1], dtype=np.intp)


def reduce(X: ArrayLike, n_columns: int = 256) -> NDArray[np.float64]:
    """Rows of unit length on their leading principal axes, the origin kept, (n, r)."""
    data = np.asarray(X)
    if data.size <= LARGE or min(data.shape) <= n_columns:
        data = data.astype(np.float64)
    if min(data.shape) <= n_columns:
        _, s, V = np.linalg.svd(data, full_matrices=False)
        return np.asarray(data @ V[s > 1e-9 * max(s.max(), 1e-300)].T)
    from sklearn.utils.extmath import randomized_svd

    V = randomized_svd(data, n_columns, n_iter=3, random_state=0)[2]
    return np.asarray(data @ V.T, dtype=np.float64)
