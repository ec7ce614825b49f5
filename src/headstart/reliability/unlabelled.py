"""Labels for unlabelled examples by a classifier itself, and whether training on them is worth it.

Letters: ``n`` examples, ``r`` columns of features, ``K`` classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from headstart.reliability.asking import (
    BLOCK,
    MOST_PLAYED,
    Weights,
    balanced_accuracy,
    gain_of,
    relative_weights,
    scores_of,
    split_units,
    squares_between,
    units_of,
)
from headstart.reliability.novelty import choose_rows
from headstart.results import Difference

# Of the graph of neighbours: fewer neighbours, a higher power and less spread than in Iscen et al. 2019, as
# there are fewer images (docs/evidence/labels.md).
N_NEIGHBOURS, POWER, SPREAD = 10, 8, 0.5
# What is left of the error after them is less than a millionth, as each halves it.
N_STEPS = 20
# Of each class, the share of the unlabelled examples that keep their pseudo-label: the surest.
SHARE = 0.5
# Certainty below which a propagated label is left out: no label, or all alike, reach the example.
LEAST_CERTAIN = 1e-6
# Share of the labelled examples that a replay judges by.
JUDGED = 0.2

F = NDArray[np.floating]
Rows = NDArray[np.intp]
Labels = tuple[Rows, NDArray[np.intp], F]


@dataclass(frozen=True, kw_only=True)
class Use:
    """One way to use unlabelled examples, on examples whose labels are known."""

    name: str
    accuracy: float  # balanced accuracy, mean of the repeats
    gain: Difference  # over the labelled ones alone; all intervals together hold with 95 %
    is_better: bool  # significantly
    right: float  # share of the pseudo-labels that are right


@dataclass(frozen=True, kw_only=True)
class UseReplay:
    """All ways on examples whose labels are known."""

    n_known: int  # examples that kept their labels
    n_hidden: int  # examples whose labels were hidden
    n_judged: int  # examples judged
    labelled: float  # balanced accuracy of the labelled ones alone
    uses: tuple[Use, ...]  # the best first

    @property
    def best(self) -> Use | None:
        """The best way, if it is significantly better than none."""
        return next((u for u in self.uses if u.is_better), None)


def neighbours(X: ArrayLike) -> sparse.csr_matrix:
    """The graph of nearest neighbours of rows of unit length, symmetric, (n, n).

    Weights are powers of cosines (Iscen, Tolias, Avrithis and Chum 2019, "Label propagation for deep
    semi-supervised learning").
    """
    data = np.asarray(X, dtype=np.float64)
    n = len(data)
    k = min(N_NEIGHBOURS, n - 1)
    of, weights = np.empty((n, k), dtype=np.intp), np.empty((n, k))
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(start + BLOCK, n))
        squares = squares_between(data[rows], data)
        squares[np.arange(len(rows)), rows] = np.inf
        of[rows] = np.argpartition(squares, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(squares, of[rows], axis=1)
        weights[rows] = np.clip(1 - near / 2, 0, None) ** POWER
    half = sparse.csr_matrix((weights.ravel(), (np.repeat(np.arange(n), k), of.ravel())), (n, n))
    return sparse.csr_matrix(half + half.T)


def by_propagation(
    X: F,
    graph: sparse.csr_matrix,
    known: Rows,
    member: NDArray[np.intp],
    hidden: Rows,
    weights: Weights = None,
) -> Labels:
    """Labels spread over the graph; each counts by how sure it is (Iscen et al. 2019).

    Examples that no label reaches are left out.
    """
    rows, K = np.concatenate([known, hidden]), int(member.max()) + 1
    W = graph[rows][:, rows]
    degree = np.asarray(W.sum(axis=1)).ravel()
    scale = sparse.diags(1 / np.sqrt(np.where(degree > 0, degree, 1)))
    step = SPREAD * (scale @ W @ scale)
    Y = np.zeros((len(rows), K))
    Y[np.arange(len(known)), member[known]] = 1 if weights is None else weights[known]
    # Each class has the same to spread, whatever its size.
    total = Y.sum(axis=0)
    Y /= np.where(total > 0, total, 1)
    spread = Y
    for _ in range(N_STEPS):
        spread = step @ spread + Y
    P = spread[len(known) :]
    total = P.sum(axis=1, keepdims=True)
    P = np.where(total > 0, P / np.where(total > 0, total, 1), 1 / K)
    entropy = -(P * np.log(np.maximum(P, 1e-300))).sum(axis=1)
    certain = np.clip(1 - entropy / np.log(max(K, 2)), 0, 1)
    kept = np.flatnonzero((total[:, 0] > 0) & (certain > LEAST_CERTAIN))
    return hidden[kept], P[kept].argmax(axis=1), certain[kept]


def by_pseudo_labels(
    X: F,
    graph: sparse.csr_matrix,
    known: Rows,
    member: NDArray[np.intp],
    hidden: Rows,
    weights: Weights = None,
) -> Labels:
    """The classifier's own answers, of each class the surest half (Zou, Yu, Kumar and Wang 2018)."""
    scores = scores_of(X, known, member, hidden, None if weights is None else weights[known])
    said, sorted_scores = scores.argmax(axis=1), np.sort(scores, axis=1)
    margin = sorted_scores[:, -1] - sorted_scores[:, -2]
    kept: list[int] = []
    for k in np.unique(said):
        own = np.flatnonzero(said == k)
        n = int(np.ceil(SHARE * len(own)))
        kept += own[np.argsort(-margin[own], kind="stable")[:n]].tolist()
    at = np.sort(np.asarray(kept, dtype=np.intp))
    return hidden[at], said[at], np.ones(len(at))


USES: dict[str, Callable[[F, sparse.csr_matrix, Rows, NDArray[np.intp], Rows, Weights], Labels]] = {
    "propagation": by_propagation,
    "pseudo-labels": by_pseudo_labels,
}


def replay_uses(
    X: ArrayLike,
    member: ArrayLike,
    n_unlabelled: int,
    together: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    n_repeats: int = 20,
    seed: int = 0,
) -> UseReplay | None:
    """Hide labels of labelled examples, and measure what training on pseudo-labels of these gains.

    Each repeat judges by a fifth of the examples; of the others as large a share is hidden as the
    unlabelled ones are of all, half at most. Of many examples :data:`MOST_PLAYED` are played on.
    The result is None where the judged ones of a repeat have no weight.

    Raises ValueError where there are fewer than three units of `together`.

    Parameters
    ----------
    X : array-like of shape (n, r)
        Features of unit length.
    member : array-like of shape (n,), int
    n_unlabelled : int >= 1
    together : array-like of shape (n,), optional
        Rows that share a value, such as copies, are judged, hidden or labelled together; sizes are then
        means of the repeats.
    weights : array-like of shape (n,), optional
        How much each example counts where it is labelled or judged.
    n_repeats : int >= 2
    """
    rows = choose_rows(member, MOST_PLAYED)
    data, own = np.asarray(X, dtype=np.float64)[rows], np.asarray(member)[rows]
    n = len(own)
    graph = neighbours(data)
    n_judged = max(int(JUDGED * n), 1)
    share = min(0.5, n_unlabelled / (n_unlabelled + n))
    n_hidden = max(1, round(share * (n - n_judged)))
    alone, reached = np.empty(n_repeats), {name: np.empty(n_repeats) for name in USES}
    right, n_said = dict.fromkeys(USES, 0), dict.fromkeys(USES, 0)
    units, counts = units_of(together, rows), np.empty((n_repeats, 3))
    w = relative_weights(weights, rows)
    for repeat in range(n_repeats):
        rng = np.random.default_rng([seed, repeat])
        judged, hidden, known = split_units(units, (n_judged, n_hidden), rng)
        if not w[judged].any():
            return None
        counts[repeat] = len(judged), len(hidden), len(known)
        scores = scores_of(data, known, own, judged, w[known])
        alone[repeat] = balanced_accuracy(own[judged], scores.argmax(axis=1), w[judged])
        for name, use in USES.items():
            at, said, weight = use(data, graph, known, own, hidden, w)
            right[name] += int((said == own[at]).sum())
            n_said[name] += len(at)
            guessed = own.copy()
            guessed[at] = said
            both = np.concatenate([known, at])
            scores = scores_of(data, both, guessed, judged, np.concatenate([w[known], weight]))
            reached[name][repeat] = balanced_accuracy(own[judged], scores.argmax(axis=1), w[judged])
    found = []
    for name, values in reached.items():
        gain = gain_of(values - alone, len(USES))
        found.append(
            Use(
                name=name,
                accuracy=float(values.mean()),
                gain=gain,
                is_better=gain.low > 0,
                right=right[name] / max(n_said[name], 1),
            )
        )
    n_judged, n_hidden, n_known = (round(v) for v in counts.mean(axis=0))
    return UseReplay(
        n_known=n_known,
        n_hidden=n_hidden,
        n_judged=n_judged,
        labelled=float(alone.mean()),
        uses=tuple(sorted(found, key=lambda u: -u.accuracy)),
    )
