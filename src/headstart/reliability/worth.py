"""What each label is worth to the other examples, and whether some cost accuracy.

Letters: ``n`` examples, ``d`` features, ``K`` classes, ``m`` examples whose worth is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads.accuracy import paired_gain
from headstart.heads.calibration import fit_temperature
from headstart.reliability.labels import RIDGE, left_out_scores, with_ones
from headstart.results import Interval

# A label is named where the expected number of other examples that are recognised is higher by more than
# this without it: dropping such labels gained the most in bench/worth.py.
COST = 0.1
# Largest share of a class that may be named: above it, what is learnt is that the class is rare or hard.
LARGEST_SHARE = 1 / 3
BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What each example adds to the others."""

    margin: NDArray[np.float64]  # (n,); left-out score of the own class less the largest other one
    # (m,); expected number of other examples that are recognised thanks to it, where each class
    # counts as if it had as many as the others; negative where it costs
    value: NDArray[np.float64]
    scale: float  # from a margin to the log odds of being recognised


def worth_of(
    X: ArrayLike,
    member: ArrayLike,
    together: ArrayLike | None = None,
    *,
    rows: ArrayLike | None = None,
    ridge: float = RIDGE,
) -> Worth:
    """How much more surely the others are recognised with each example than without it.

    Example ``j`` is judged by the ridge classifier that is fitted without it, once with and once without
    example ``i``. Both follow in closed form from one factorization: with ``R = I - H`` and the residuals
    ``e``, those of ``j`` without both are ``(R_ii e_j - R_ij e_i) / (R_ii R_jj - R_ij^2)`` (leave-two-out;
    of groups, by the same block inverse). The chance of being recognised is the logistic function of the
    calibrated margin to the class that is second. Examples count by 1 / size of their class: else those of a
    rare class cost the many others merely by being learnt. Time grows with ``m n``, memory with n.

    This is the influence of Koh and Liang (2017, "Understanding black-box predictions via influence
    functions"), exact rather than linearised.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Features, rows of unit length; a few hundred columns.
    member : array-like of shape (n,), int
        Class of each row, 0 to K - 1.
    together : array-like of shape (n,), optional
        Rows that share a value, such as copies, are left out together, and have no influence on each other.
    rows : array-like of int, shape (m,), optional
        Examples whose worth is asked for; default all.
    """
    data, own = np.asarray(X), np.asarray(member)
    n = len(data)
    units = np.arange(n) if together is None else np.unique(together, return_inverse=True)[1]
    units = units.reshape(-1)
    asked = np.arange(n) if rows is None else np.asarray(rows)
    scores = left_out_scores(data, own, units, ridge=ridge)
    scale = fit_temperature(scores, own).scale
    at, others = np.arange(n), scores.copy()
    others[at, own] = -np.inf
    second = others.argmax(axis=1)
    margin = scores[at, own] - others[at, second]
    Z, inverse, weights = _fit(data, own, scores.shape[1], ridge)
    E = 2.0 * np.eye(scores.shape[1])[own] - 1 - Z @ weights
    before, weight = _chance(margin, scale), _weights(own)
    value = np.zeros(len(asked))
    left = Z[asked] @ inverse
    rest = 1 - (left * Z[asked]).sum(axis=1)
    sizes = np.bincount(units)
    alone = np.flatnonzero(sizes[units] == 1)
    blocks = [alone[k : k + BLOCK] for k in range(0, len(alone), BLOCK)]
    blocks += [np.flatnonzero(units == u) for u in np.flatnonzero(sizes > 1)]
    for J in blocks:
        R = -left @ Z[J].T
        Q = E[np.ix_(asked, own[J])] - E[np.ix_(asked, second[J])]
        residual = 2 - margin[J]
        if sizes[units[J[0]]] == 1:
            own_rest = 1 - ((Z[J] @ inverse) * Z[J]).sum(axis=1)
            both = rest[:, None] * own_rest
            without = (both * residual - R * Q) / np.maximum(both - R**2, 1e-12)
        else:
            M = np.linalg.inv(np.eye(len(J)) - Z[J] @ inverse @ Z[J].T)
            MR = R @ M
            out = M @ E[J]
            through = R @ (out[:, own[J]] - out[:, second[J]])
            free = np.maximum(rest - (R * MR).sum(axis=1), 1e-12)
            without = residual + MR * (through - Q) / free[:, None]
        after = _chance(2 - without, scale)
        gained = np.where(units[asked][:, None] == units[J], 0, before[J] - after)
        value += gained @ weight[J]
    return Worth(margin=margin, value=value, scale=scale)


@dataclass(frozen=True, kw_only=True)
class LabelCost:
    """What some labels cost the others."""

    rows: NDArray[np.intp]  # the labels that are named, those that cost most first
    share: float  # of the class of which the largest share is named
    worth: NDArray[np.float64]  # (n,); of every example: :attr:`Worth.value`
    # how much higher the mean chance of being recognised is without such labels, in fresh folds;
    # each class counts alike
    chance: Interval
    gain: Interval  # the same of the share that is recognised, the balanced accuracy

    @property
    def holds(self) -> bool:
        """Whether the labels cost accuracy: both gains are significant, and no class is named as a whole."""
        is_found = len(self.rows) > 0 and self.share <= LARGEST_SHARE
        return is_found and self.chance.low > 0 and self.gain.low > 0


def label_cost(
    X: ArrayLike,
    member: ArrayLike,
    folds: ArrayLike,
    *,
    together: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    is_sure: ArrayLike | None = None,
) -> LabelCost:
    """Name contradicted labels that cost the others accuracy, and test that on fresh folds.

    In each fold the labels are named by the other folds alone, left out, and the fold is judged with
    and without: what is tested has no part in the naming. The test is paired, of examples (means of the
    repeats) or of groups. Classes count alike, whatever their size.

    Parameters
    ----------
    X, member, together
        As of :func:`worth_of`.
    folds : array-like of shape (n_repeats, n), int
        Folds of rows that are held out together.
    groups : array-like of shape (n,), optional
        As of :func:`headstart.heads.accuracy.paired_gain`.
    is_sure : array-like of shape (n,), bool, optional
        Labels that are right, and never named.
    """
    data, own, repeats = np.asarray(X), np.asarray(member), np.asarray(folds)
    units = np.arange(len(data)) if together is None else np.asarray(together)
    sure = np.zeros(len(data), dtype=bool) if is_sure is None else np.asarray(is_sure)
    whole = worth_of(data, own, units)
    named = np.flatnonzero((whole.margin < 0) & (whole.value < -COST) & ~sure)
    chance, hits = np.zeros((2, 2, len(repeats), len(own)))
    for r, fold in enumerate(repeats):
        for k in np.unique(fold):
            train, out = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            kept, scale = _kept(data[train], own[train], units[train], sure[train])
            for arm, some in enumerate((train, train[kept])):
                weights = _fit(data[some], own[some], int(own.max()) + 1, RIDGE)[2]
                margin = _margins(with_ones(data[out]) @ weights, own[out])
                chance[arm, r, out] = _chance(margin, scale)
                hits[arm, r, out] = margin > 0
    weight, sizes = _weights(own), np.bincount(own)
    gains = []
    for of_repeats in (chance, hits):
        without, with_all = (weight * arm.mean(axis=0) for arm in of_repeats[::-1])
        gain = paired_gain(without, with_all, groups=groups)
        gains.append(Interval(gain.value, gain.low, gain.high))
    return LabelCost(
        rows=named[np.argsort(whole.value[named], kind="stable")],
        share=float((np.bincount(own[named], minlength=len(sizes)) / np.maximum(sizes, 1)).max()),
        worth=whole.value,
        chance=gains[0],
        gain=gains[1],
    )


def _weights(member: NDArray[np.intp]) -> NDArray[np.float64]:
    """Of rows, by 1 / size of their class; their mean is 1."""
    sizes = np.bincount(member)
    return np.asarray(len(member) / ((sizes > 0).sum() * sizes[member]))


def _kept(
    X: NDArray[np.floating],
    member: NDArray[np.intp],
    units: NDArray[np.intp],
    is_sure: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], float]:
    """Which rows are not named by themselves, and the scale of margins."""
    margin = _margins(left_out_scores(X, member, units), member)
    doubtful = np.flatnonzero((margin < 0) & ~is_sure)
    kept = np.ones(len(X), dtype=bool)
    found = worth_of(X, member, units, rows=doubtful)
    kept[doubtful[found.value < -COST]] = False
    return kept, found.scale


def _fit(
    X: NDArray[np.floating], member: NDArray[np.intp], n_classes: int, ridge: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rows with ones, the inverse of their second moments, and the weights (d + 1, K)."""
    Z = with_ones(X)
    inverse = np.asarray(np.linalg.inv(Z.T @ Z + ridge * np.eye(Z.shape[1])), dtype=np.float64)
    return Z, inverse, inverse @ (Z.T @ (2.0 * np.eye(n_classes)[member] - 1))


def _margins(scores: NDArray[np.float64], member: NDArray[np.intp]) -> NDArray[np.float64]:
    at, others = np.arange(len(scores)), scores.copy()
    others[at, member] = -np.inf
    return np.asarray(scores[at, member] - others.max(axis=1))


def _chance(margin: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(scale * margin, -50, 50))))
