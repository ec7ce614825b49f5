"""Several labels per example: probabilities, thresholds and figures of each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.heads.accuracy import ROUNDING, accuracy_interval, share_interval
from headstart.heads.criterion import average_precision_merits
from headstart.heads.resampling import N_RESAMPLES, bootstrap
from headstart.results import Interval

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

_NEWTON_STEPS = 50
# Of more examples times labels, intervals are of fewer resamples, which take a second for each million.
MANY_VALUES, FEW_RESAMPLES = 1_000_000, 200


class LabelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One label; None where it is not defined, as no example has the label."""

    name: str
    n: int  # examples that have it
    threshold: float  # an example is given the label where its probability is this or more
    prevalence: float  # share of the examples that have it
    average_precision: Interval | None  # average precision of the ranking by probability
    # share of the examples given the label that have it; None where none is given it
    precision: Interval | None
    recall: Interval | None  # share of the examples with the label that are given it
    f1: Interval | None  # harmonic mean of precision and recall


class LabelsFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All labels of some examples."""

    n: int  # number of examples
    # mean of the average precision of the labels that an example has; None where none has any
    mean_average_precision: Interval | None
    # F1 of all pairs of example and label together; None where no example has a label
    micro_f1: Interval | None
    macro_f1: Interval | None  # mean F1 of the labels that an example has; None where none has any
    exact: Interval  # share of examples whose labels are all right
    trivial_map: float | None  # mean average precision of a random order of the examples
    trivial_micro_f1: float | None  # micro F1 of giving every example every label
    trivial_macro_f1: float | None  # macro F1 of giving every example every label
    labels: tuple[LabelFigures, ...]


def average_precision(has: Flags, scores: Values, weights: Values) -> Values:
    """Of one label by the weights of examples, one value per row of weights.

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
    return _average_precision(has, *_ranked(scores), weights)


def _ranked(scores: Values) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The order of falling scores, and the positions in it that end a run of equal ones."""
    order = np.argsort(-scores, kind="stable")
    return order, np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)


def _average_precision(
    has: Flags, order: NDArray[np.intp], ends: NDArray[np.intp], weights: Values
) -> Values:
    w = weights[:, order]
    n_all = np.cumsum(w, axis=1)[:, ends]
    n_own = np.cumsum(w * has[order], axis=1)[:, ends]
    total = n_own[:, -1]
    precision = np.divide(n_own, n_all, out=np.zeros_like(n_own), where=n_all > 0)
    gained = np.diff(n_own, axis=1, prepend=0.0)
    found = (precision * gained).sum(axis=1)
    return _ratio(found, total)


def random_average_precision(n_own: int, n: int) -> float:
    """What a random order of `n` examples gives on average, of which `n_own` have the label.

    More than their share where they are few: the first of them may come early.

    Examples
    --------
    >>> round(random_average_precision(50, 500), 3), round(random_average_precision(2, 20), 3)
    (0.11, 0.223)
    """
    first = float((1 / np.arange(1, n + 1)).mean())
    return first + (n_own - 1) / max(n - 1, 1) * (1 - first)


def precision_merits(has: NDArray[np.bool_], scores: NDArray[np.floating]) -> Values:
    """The merit of each example for the mean average precision (n,); the mean of all is that.

    Parameters
    ----------
    has, scores : arrays (n, K)
        Each label is that of one example at least, and not of all.
    """
    w, total = np.ones(len(has)), np.zeros(len(has))
    for own, s in zip(has.T, np.asarray(scores).T, strict=True):
        total += average_precision_merits(np.asarray(s, dtype=np.float64), own, w)
    return np.asarray(total / has.shape[1])


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

    A label whose probability is the same for all is given to none of them (threshold 1), or to all
    (threshold 0) where most have it.

    Parameters
    ----------
    has, P : arrays (n, K)
        Probabilities of examples that were held out.
    """
    found = np.full(has.shape[1], 0.5)
    for k, (own, p) in enumerate(zip(has.T, P.T, strict=True)):
        order, ends = _ranked(p)
        if len(ends) == 1:
            found[k] = float(2 * own.sum() <= len(own))
            continue
        hits = np.cumsum(own[order])[ends]
        f1 = 2 * hits / (ends + 1 + own.sum())
        # Of equals the highest threshold.
        best = int(f1.argmax())
        low = p[order][ends[best] + 1] if ends[best] + 1 < len(p) else 0.0
        found[k] = (p[order][ends[best]] + low) / 2
    return found


def given_per_fold(has: Flags, P: Values, folds: NDArray[np.integer]) -> Flags:
    """Labels by thresholds that were chosen on the other folds, (n, K): no image chooses its own.

    Parameters
    ----------
    has, P : arrays (n, K)
        As for :func:`best_thresholds`.
    folds : int array (n,)
        The fold that holds each example out; at least two folds.
    """
    given = np.zeros_like(has)
    for fold in np.unique(folds):
        own = folds == fold
        given[own] = best_thresholds(has[~own], P[~own]) <= P[own]
    return given


def labels_figures(
    has: Flags,
    P: Values,
    names: Sequence[str],
    thresholds: Values,
    groups: Sequence[str] | None = None,
    *,
    given: Flags | None = None,
) -> LabelsFigures:
    """Figures with 95 % intervals.

    Those of shares (precision, recall, all labels right) are of :func:`accuracy_interval`, the others of
    the bootstrap. Where no resample differs, as of an F1 of 1, the interval is that of a share of as many
    examples as have the label, or any label.

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
    given : bool array (n, K), optional
        Labels that each example is given; by default those that reach their threshold.
    """
    n, n_labels = has.shape
    given, there = thresholds <= P if given is None else given, has.any(axis=0)
    hit, exact = given & has, (given == has).all(axis=1)
    ranks = [_ranked(P[:, k]) for k in range(n_labels)]

    def figures(w: Values) -> Values:
        ap = np.stack(
            [_average_precision(has[:, k], *ranks[k], w) for k in range(n_labels)], axis=1
        )
        hits, n_given, n_has = w @ hit, w @ given, w @ has
        f1 = np.where(n_has > 0, _ratio(2 * hits, n_given + n_has), np.nan)
        micro = _ratio(2 * hits.sum(axis=1), n_given.sum(axis=1) + n_has.sum(axis=1))
        return np.concatenate([np.stack([_mean(ap), micro, _mean(f1)], axis=1), ap, f1], axis=1)

    def share(hits: Flags, of: Flags) -> Interval | None:
        own = None if groups is None else np.asarray(groups)[of]
        return accuracy_interval(hits[of], groups=own) if of.any() else None

    n_resamples = N_RESAMPLES if has.size <= MANY_VALUES else FEW_RESAMPLES
    values, ends = bootstrap(figures, n, groups, n_resamples=n_resamples)
    low, high = np.clip(ends, 0, 1)
    sizes, n_any = has.sum(axis=0), int(has.any(axis=1).sum())
    n_of = [n_any, n_any, n_any, *sizes, *sizes]
    found = [
        None if np.isnan(t[:3]).any() else _interval(*map(float, t))
        for t in zip(values, low, high, n_of, strict=True)
    ]
    prevalence = sizes / n
    trivial: list[float | None] = [None, None, None]
    if there.any():
        p = prevalence[there]
        trivial = [
            float(np.mean([random_average_precision(int(m), n) for m in sizes[there]])),
            float(2 * p.sum() / (p.sum() + n_labels)),
            float((2 * p / (1 + p)).mean()),
        ]
    return LabelsFigures(
        n=n,
        mean_average_precision=found[0],
        micro_f1=found[1] if there.any() else None,
        macro_f1=found[2],
        exact=accuracy_interval(exact, groups=groups),
        trivial_map=trivial[0],
        trivial_micro_f1=trivial[1],
        trivial_macro_f1=trivial[2],
        labels=tuple(
            LabelFigures(
                name=name,
                n=int(sizes[k]),
                threshold=float(thresholds[k]),
                prevalence=float(prevalence[k]),
                average_precision=found[3 + k],
                precision=share(hit[:, k], given[:, k]),
                recall=share(hit[:, k], has[:, k]),
                f1=found[3 + n_labels + k],
            )
            for k, name in enumerate(names)
        ),
    )


def _interval(value: float, low: float, high: float, n: float) -> Interval:
    """Of the bootstrap; where nothing varied over resamples, that of a share of `n` examples."""
    if high - low > ROUNDING or n < 1:
        return Interval(value, low, high)
    share = share_interval(min(max(value, 0.0), 1.0), n, 0.95)
    return Interval(value, min(share.low, value), max(share.high, value))


def _ratio(a: Values, b: Values) -> Values:
    return np.asarray(np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0))


def _mean(values: Values) -> Values:
    """Over the columns that are defined, (B,)."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1).astype(np.float64))
