"""Several labels an example: probabilities, thresholds and figures of each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.heads.criterion import average_precision_merits
from headstart.heads.resampling import N_RESAMPLES, bootstrap
from headstart.results import Interval

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

_NEWTON_STEPS = 50
# Of more examples times labels, intervals are of fewer resamples, which take a second for each million.
MANY_VALUES, FEW_RESAMPLES = 1_000_000, 200


class LabelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One label; None where it is not defined, as no example has the label.

    Attributes
    ----------
    name : str
    n : int
        Examples that have it.
    threshold : float
        An example is given the label where its probability is this or more.
    average_precision, precision, recall, f1 : Interval or None
    prevalence : float
        Average precision of scores that say nothing.
    """

    name: str
    n: int
    threshold: float
    prevalence: float
    average_precision: Interval | None
    precision: Interval | None
    recall: Interval | None
    f1: Interval | None


class LabelsFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All labels of some examples.

    Attributes
    ----------
    n : int
        Number of examples.
    mean_average_precision, micro_f1, macro_f1 : Interval
        Means are over the labels that an example has.
    exact : Interval
        Share of examples whose labels are all right.
    trivial_map, trivial_micro_f1, trivial_macro_f1 : float
        Of a prediction that is the same for every example: the prevalence of each label, and every
        label for every example.
    labels : tuple of LabelFigures
    """

    n: int
    mean_average_precision: Interval
    micro_f1: Interval
    macro_f1: Interval
    exact: Interval
    trivial_map: float
    trivial_micro_f1: float
    trivial_macro_f1: float
    labels: tuple[LabelFigures, ...]


def average_precision(has: Flags, scores: Values, weights: Values) -> Values:
    """Of one label by the weights of examples, one value a row of weights.

    The mean of the precision at each example that has the label, ties taken together, as
    ``sklearn.metrics.average_precision_score``.

    Parameters
    ----------
    has : bool array (n,)
    scores : float array (n,)
    weights : float array (B, n)
        How often each example counts.

    Returns
    -------
    float64 array (B,)
        NaN where no example that counts has the label.
    """
    order = np.argsort(-scores, kind="stable")
    # The last of those with equal scores.
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    w = weights[:, order]
    n_all = np.cumsum(w, axis=1)[:, ends]
    n_own = np.cumsum(w * has[order], axis=1)[:, ends]
    total = n_own[:, -1]
    precision = np.divide(n_own, n_all, out=np.zeros_like(n_own), where=n_all > 0)
    gained = np.diff(n_own, axis=1, prepend=0.0)
    found = (precision * gained).sum(axis=1)
    return _ratio(found, total)


def precision_merits(has: NDArray[np.bool_], scores: NDArray[np.floating]) -> Values:
    """The merit of each example for the mean average precision (n,); the mean of all is that.

    Parameters
    ----------
    has, scores : arrays (n, K)
        Each label is that of one example at least, and not of all.
    """
    w = np.ones(len(has))
    every = [
        average_precision_merits(s, own, w)
        for own, s in zip(has.T, np.asarray(scores, dtype=np.float64).T, strict=True)
    ]
    return np.asarray(np.mean(every, axis=0))


def fit_sigmoids(scores: NDArray[np.floating], has: Flags) -> tuple[Values, Values]:
    """Slope and offset (K,) of each label: its probability is ``sigmoid(slope * score + offset)``.

    Platt scaling (1999, "Probabilistic outputs for support vector machines") with its targets, by
    Newton steps; a slope is never below 0, so that the order of the scores stays.

    Parameters
    ----------
    scores, has : arrays (n, K)
        Scores of examples that were held out.
    """
    slopes, offsets = np.zeros(has.shape[1]), np.zeros(has.shape[1])
    for k, own in enumerate(has.T):
        slopes[k], offsets[k] = _fit_sigmoid(np.asarray(scores[:, k], dtype=np.float64), own)
    return slopes, offsets


def _fit_sigmoid(s: Values, own: Flags) -> tuple[float, float]:
    n_own, n_rest = own.sum(), (~own).sum()
    t = np.where(own, (n_own + 1) / (n_own + 2), 1 / (n_rest + 2))
    center, spread = s.mean(), s.std()
    prior = float(np.log((n_own + 1) / (n_rest + 1)))
    if not spread > 0:
        return 0.0, prior
    A = np.column_stack([(s - center) / spread, np.ones(len(s))])
    w = np.array([0.0, prior])

    def loss(w: Values) -> float:
        z = A @ w
        return float((np.logaddexp(0, z) - t * z).sum())

    now = loss(w)
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(A @ w)
        gradient = A.T @ (p - t)
        hessian = (A.T * (p * (1 - p))) @ A + 1e-9 * np.eye(2)
        step, rate = np.linalg.solve(hessian, gradient), 1.0
        while (new := loss(w - rate * step)) > now and rate > 1e-6:
            rate /= 2
        w, before, now = w - rate * step, now, min(new, now)
        if before - now < 1e-10 * max(now, 1.0):
            break
    if w[0] <= 0:
        return 0.0, prior
    return float(w[0] / spread), float(w[1] - w[0] * center / spread)


def sigmoid(z: NDArray[np.floating]) -> Values:
    """``1 / (1 + exp(-z))``, without overflow."""
    found = np.asarray(z, dtype=np.float64)
    return np.asarray(0.5 * (1 + np.tanh(0.5 * found)))


def best_thresholds(has: Flags, P: Values) -> Values:
    """The threshold (K,) of each label at which F1 is the highest, half way to the next probability.

    Parameters
    ----------
    has, P : arrays (n, K)
        Probabilities of examples that were held out.
    """
    found = np.full(has.shape[1], 0.5)
    for k, (own, p) in enumerate(zip(has.T, P.T, strict=True)):
        order = np.argsort(-p, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1)
        hits = np.cumsum(own[order])[ends]
        f1 = 2 * hits / (ends + 1 + own.sum())
        # Of equals the highest threshold.
        best = int(f1.argmax())
        low = p[order][ends[best] + 1] if ends[best] + 1 < len(p) else 0.0
        found[k] = (p[order][ends[best]] + low) / 2
    return found


def labels_figures(
    has: Flags,
    P: Values,
    names: Sequence[str],
    thresholds: Values,
    groups: Sequence[str] | None = None,
) -> LabelsFigures:
    """Figures with 95 % bootstrap intervals.

    Parameters
    ----------
    has : bool array (n, K)
        Which labels each example has.
    P : float array (n, K)
        Their probabilities.
    names : sequence of str, length K
    thresholds : float array (K,)
    groups : sequence of str, length n, optional
        Examples that are not independent of one another.
    """
    n, n_labels = has.shape
    given, there = thresholds <= P, has.any(axis=0)
    hit, exact = given & has, (given == has).all(axis=1)

    def figures(w: Values) -> Values:
        ap = np.stack([average_precision(has[:, k], P[:, k], w) for k in range(n_labels)], axis=1)
        hits, n_given, n_has = w @ hit, w @ given, w @ has
        precision, recall = _ratio(hits, n_given), _ratio(hits, n_has)
        f1 = np.where(n_has > 0, _ratio(2 * hits, n_given + n_has), np.nan)
        micro = _ratio(2 * hits.sum(axis=1), n_given.sum(axis=1) + n_has.sum(axis=1))
        total = w.sum(axis=1)
        means = [_mean(ap), micro, _mean(f1), (w @ exact) / total]
        return np.concatenate([np.stack(means, axis=1), ap, precision, recall, f1], axis=1)

    n_resamples = N_RESAMPLES if has.size <= MANY_VALUES else FEW_RESAMPLES
    values, (low, high) = bootstrap(figures, n, groups, n_resamples=n_resamples)
    found = [
        Interval(*map(float, t)) if not np.isnan(t).any() else None
        for t in zip(values, low, high, strict=True)
    ]
    mean_ap, micro, macro, right = (f or Interval(0.0, 0.0, 1.0) for f in found[:4])
    share = has.mean(axis=0)
    each = [found[4 + i * n_labels : 4 + (i + 1) * n_labels] for i in range(4)]
    return LabelsFigures(
        n=n,
        mean_average_precision=mean_ap,
        micro_f1=micro,
        macro_f1=macro,
        exact=right,
        trivial_map=float(share[there].mean()) if there.any() else 0.0,
        trivial_micro_f1=float(2 * share.sum() / (share.sum() + n_labels)),
        trivial_macro_f1=float((2 * share / (1 + share))[there].mean()) if there.any() else 0.0,
        labels=tuple(
            LabelFigures(
                name=name,
                n=int(has[:, k].sum()),
                threshold=float(thresholds[k]),
                prevalence=float(share[k]),
                average_precision=each[0][k],
                precision=each[1][k],
                recall=each[2][k],
                f1=each[3][k],
            )
            for k, name in enumerate(names)
        ),
    )


def _ratio(a: Values, b: Values) -> Values:
    return np.asarray(np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0))


def _mean(values: Values) -> Values:
    """Over the columns that are defined, (B,)."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1).astype(np.float64))
