"""The metrics that people ask of a classifier, each with an interval, and its reliability.

Shares of examples (accuracy, recall, precision, top-k) have Wilson's interval. All others have that of
a delete-group jackknife (Kott 2001, "The delete-a-group jackknife", Journal of Official Statistics
17(4)): the metric is computed again without each of :data:`N_PARTS` parts of the examples, and the
spread of these gives a standard error for Student's t. Where examples come in groups (patients, films),
the parts are made of whole groups, so that the intervals are those of new groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.heads.accuracy import (
    FEW_GROUPS,
    accuracy_interval,
    balanced_recall,
    design_effect,
    share_interval,
)
from headstart.heads.criterion import least_cost, read_weights
from headstart.results import Estimate, Interval

N_PARTS = 25
N_BINS = 10
# Below so many errors the spread that was seen is not to be relied on.
FEW_EVENTS = 5
# Of probabilities, so that no logarithm is infinite.
TINY = 1e-12


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """One bar of a reliability diagram."""

    n: int
    confidence: float  # mean probability of the predicted class
    accuracy: Interval


class ClassMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one class; None where it was not tested, or never predicted."""

    name: str
    n: int  # examples of the class
    n_predicted: int
    precision: Interval | None
    recall: Interval | None
    f1: Interval | None  # by the interval of the overlap
    roc_auc: float | None  # area under the ROC curve, one class against the rest
    average_precision: float | None  # average precision, one class against the rest


class ClassificationMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of probabilities against labels.

    Attributes
    ----------
    n : int
    level : float
        Coverage of the intervals.
    accuracy, balanced_accuracy : Interval
    macro_precision, macro_recall, macro_f1 : Interval
        Means over the classes that have examples; precision of a class never predicted counts 0.
    kappa : Estimate
        Cohen (1960).
    quadratic_kappa : Estimate or None
        With quadratic weights (Cohen 1968); None where the classes have no order.
    roc_auc, average_precision : Interval or None
        One-vs-rest, means over the classes that have examples and counter-examples.
    log_loss, brier : Estimate
        Mean negative logarithm of the probability of the true class; mean squared distance of the
        probabilities from the truth, 0 to 2.
    ece : Interval
        Expected calibration error of the predicted class over equally filled bins.
    top_k : dict of int to Interval
        Share of examples whose class is among the k most probable; of equally probable ones the
        first come first.
    cost : Estimate or None
        Mean cost of the predicted classes; None where confusions have no costs.
    reliability : tuple of Bin
    classes : tuple of ClassMetrics
    """

    n: int
    level: float
    accuracy: Interval
    balanced_accuracy: Interval
    macro_precision: Interval
    macro_recall: Interval
    macro_f1: Interval
    kappa: Estimate
    quadratic_kappa: Estimate | None
    roc_auc: Interval | None
    average_precision: Interval | None
    log_loss: Estimate
    brier: Estimate
    ece: Interval
    top_k: dict[int, Interval]
    reliability: tuple[Bin, ...]
    classes: tuple[ClassMetrics, ...] = ()
    cost: Estimate | None = None


def classification_metrics(
    y: ArrayLike,
    P: ArrayLike,
    classes: Sequence[str],
    *,
    order: Sequence[str] | None = None,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    costs: ArrayLike | None = None,
    level: float = 0.95,
) -> ClassificationMetrics:
    """All metrics of class probabilities.

    Parameters
    ----------
    y : array-like of str, shape (n_samples,)
        True labels.
    P : array-like of float, shape (n_samples, n_classes)
        Probabilities; columns in the order of `classes`.
    classes : sequence of str
    order : sequence of str, optional
        The classes from the lowest to the highest grade, for the kappa with quadratic weights.
    groups : array-like, shape (n_samples,), optional
        Examples that are not independent of one another: patients, films. As of
        :func:`headstart.heads.accuracy_interval`, fewer than ten groups (for the figures of a class,
        ten with examples of it) are not heeded.
    sample_weight : array-like, shape (n_samples,), optional
        How often each example counts, as in scikit-learn's metrics. Shares have the interval of as
        many examples as have the same variance, ``sum(w)^2 / sum(w^2)`` (Kish 1965, section 11.7).
    costs : array-like, shape (n_classes, n_classes), optional
        Cost of each true class (row) taken for each other (column): the class of least expected cost
        is predicted rather than the most probable one.
    level : float in (0, 1), default=0.95
        Coverage of the intervals.

    Returns
    -------
    ClassificationMetrics

    Raises
    ------
    ValueError
        If lengths differ, there are no examples, a label is not among `classes`, `order` does not
        name each class once, or a weight is negative or not finite, or all are zero.

    Examples
    --------
    >>> found = classification_metrics(["a", "b", "b", "a"], [[0.9, 0.1], [0.2, 0.8]] * 2, ["a", "b"])
    >>> round(found.kappa.value, 2), round(found.macro_f1.value, 2)
    (0.0, 0.5)
    """
    names = list(classes)
    probabilities = np.asarray(P, dtype=np.float64)
    truth = _columns(np.asarray(y), names, probabilities)
    n, K = probabilities.shape
    predicted = probabilities.argmax(axis=1) if costs is None else least_cost(probabilities, costs)
    parts = _parts(n, groups)
    w = read_weights(sample_weight, n)
    rank = None if order is None else _ranks(order, names)
    right = truth == predicted
    jackknife = _Jackknife(parts, level)

    def confusion(keep: NDArray[np.bool_]) -> NDArray[np.float64]:
        cells = np.bincount(truth[keep] * K + predicted[keep], weights=w[keep], minlength=K * K)
        return cells.reshape(K, K).astype(np.float64)

    averages = jackknife(lambda keep: _averages(confusion(keep), rank))
    every_cell = confusion(np.ones(n, dtype=bool))
    chance = float(every_cell.sum(axis=1) @ every_cell.sum(axis=0)) / float(w.sum()) ** 2
    own = probabilities[np.arange(n), truth]
    losses = -np.log(np.clip(own, TINY, 1))
    squares = (probabilities**2).sum(axis=1) - 2 * own + 1
    areas = _Curves(truth, probabilities, w).of_all(parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of no class is NaN
        mean_areas = np.nanmean(areas, axis=0)
    area, average = (jackknife.spread(values[0], values[1:, None])[0] for values in mean_areas)
    confidence = probabilities[np.arange(n), predicted]
    is_in = _bins(confidence)
    errors = jackknife(lambda keep: np.array([_ece(confidence, right, is_in, w * keep)]))
    price = np.zeros(n) if costs is None else np.asarray(costs, dtype=np.float64)[truth, predicted]
    each = np.stack([losses, squares, price])
    means = jackknife(lambda keep: each[:, keep] @ w[keep] / w[keep].sum())

    def of_share(hits: NDArray[np.bool_]) -> Interval:
        return _weighted_share(hits, w, level, groups)

    # A jackknife of what never varies gives zero; the noise of accuracy is the least there is.
    accuracy = of_share(right)
    share = _at_least(accuracy)
    reliability = _reliability(confidence, right, is_in, level, w)
    every = np.arange(1, 1 + min(5, K - 1))
    # Of equally probable classes the first comes first, as it is the one predicted.
    before = np.arange(K) < truth[:, None]
    is_ahead = (probabilities > own[:, None]) | ((probabilities == own[:, None]) & before)
    place = is_ahead.sum(axis=1)
    return ClassificationMetrics(
        n=n,
        level=level,
        accuracy=accuracy,
        balanced_accuracy=balanced_recall(truth, right, level, w, groups),
        macro_precision=share(averages[0]),
        macro_recall=share(averages[1]),
        macro_f1=share(averages[2]),
        kappa=_kappa_interval(averages[3], accuracy, chance),
        quadratic_kappa=None if rank is None else _kappa_interval(averages[4], accuracy, chance),
        roc_auc=_area_interval(area, n, level),
        average_precision=_area_interval(average, n, level),
        log_loss=_estimate(means[0], 0, np.inf),
        brier=_estimate(means[1], 0, 2),
        ece=_calibration_interval(errors[0], reliability),
        top_k={int(k): of_share(place < k) for k in every if k in (1, 2, 3, 5)},
        reliability=tuple(reliability),
        classes=tuple(_of_classes(truth, predicted, names, areas[:, :, 0], level, w, groups)),
        cost=None if costs is None else _cost_interval(means[2], accuracy, np.asarray(costs)),
    )


Spread = tuple[float, float, float]
"""Value, low and high, as the jackknife gives them."""


class _Jackknife:
    """Values of metrics of all examples, with Student's interval from leaving parts out."""

    def __init__(self, parts: NDArray[np.int64], level: float) -> None:
        from scipy import stats

        self._parts = parts
        self._n_parts = int(parts.max()) + 1
        free = max(self._n_parts - 1, 1)
        self._width = float(stats.t.ppf((1 + level) / 2, free))

    def __call__(self, measure: Callable[[NDArray[np.bool_]], NDArray[np.float64]]) -> list[Spread]:
        value = measure(np.ones(len(self._parts), dtype=bool))
        subsets = [self._parts != g for g in range(self._n_parts)]
        others = np.array([measure(keep) for keep in subsets if keep.any()])
        return self.spread(value, others)

    def spread(self, value: ArrayLike, others: NDArray[np.float64]) -> list[Spread]:
        """Intervals from the values without each part, (n_parts, n_values)."""
        value = np.atleast_1d(np.asarray(value))
        others = others.reshape(-1, len(value))
        others = others[np.isfinite(others).all(axis=1)]
        n = len(others)
        if n < 2:
            return [(float(v), -np.inf, np.inf) for v in value]
        error = np.sqrt((n - 1) / n * ((others - others.mean(axis=0)) ** 2).sum(axis=0))
        half = self._width * error
        return [(float(v), float(v - h), float(v + h)) for v, h in zip(value, half, strict=True)]


def _columns(y: NDArray[np.str_], names: list[str], P: NDArray[np.float64]) -> NDArray[np.intp]:
    """The column of each label, after all shapes are checked."""
    if P.ndim != 2 or P.shape != (len(y), len(names)):
        raise ValueError(
            f"P must have the shape ({len(y)}, {len(names)}) of labels and classes; got {P.shape}"
        )
    if len(y) == 0:
        raise ValueError("metrics need at least one example; got 0")
    column = {name: k for k, name in enumerate(names)}
    unknown = sorted({str(label) for label in y} - column.keys())
    if unknown:
        raise ValueError(f"every label must be one of the classes; got {unknown[0]!r}")
    return np.array([column[str(label)] for label in y], dtype=np.intp)


def _ranks(order: Sequence[str], names: list[str]) -> NDArray[np.intp]:
    if sorted(order) != sorted(names):
        raise ValueError(
            f"order must name each of the {len(names)} classes once; got {', '.join(order)}"
        )
    place = {name: i for i, name in enumerate(order)}
    return np.array([place[name] for name in names], dtype=np.intp)


def _parts(n: int, groups: ArrayLike | None) -> NDArray[np.int64]:
    """The part of each example: groups, or examples, dealt out at random but always alike."""
    units = (
        np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    )
    units = units.reshape(-1)
    if len(units) != n:
        raise ValueError(f"groups must have one entry an example, {n}; got {len(units)}")
    if units.max() + 1 < FEW_GROUPS:
        units = np.arange(n)
    n_units = int(units.max()) + 1
    dealt = np.random.default_rng(0).permutation(n_units) % min(N_PARTS, n_units)
    return dealt[units].astype(np.int64)


def _averages(cells: NDArray[np.float64], rank: NDArray[np.intp] | None) -> NDArray[np.float64]:
    """Macro precision, recall and F1, kappa and, with ranks, the quadratic kappa."""
    hits, n_true, n_said = np.diag(cells), cells.sum(axis=1), cells.sum(axis=0)
    there = (n_true + n_said) > 0
    precision = np.divide(hits, n_said, out=np.zeros_like(hits), where=n_said > 0)
    recall = np.divide(hits, n_true, out=np.zeros_like(hits), where=n_true > 0)
    f1 = np.divide(2 * hits, n_true + n_said, out=np.zeros_like(hits), where=there)
    found = [float(values[there].mean()) for values in (precision, recall, f1)]
    K = len(cells)
    found.append(_kappa(cells, 1 - np.eye(K)))
    if rank is not None:
        found.append(_kappa(cells, np.subtract.outer(rank, rank) ** 2.0))
    return np.array(found)


def _kappa(cells: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """One less the weighted disagreement over that expected of independent raters."""
    expected = np.outer(cells.sum(axis=1), cells.sum(axis=0)) / cells.sum()
    chance = float((weights * expected).sum())
    return 1 - float((weights * cells).sum()) / chance if chance > 0 else 1.0


class _Curves:
    """ROC and precision-recall curves of every class against the others, with parts left out.

    Scores are sorted once a class. Both areas change only where examples of the class come, so that
    the others are only counted, by part, between and beside these: work and memory grow with the
    examples, not with these times the parts.
    """

    def __init__(
        self, truth: NDArray[np.intp], P: NDArray[np.float64], w: NDArray[np.float64]
    ) -> None:
        self._truth, self._P, self._w = truth, P, w

    def of_class(self, k: int, parts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Area under the ROC curve and average precision, (2, 1 + n_parts).

        The first column is that of all examples; NaN without examples or counter-examples.
        """
        n_parts = int(parts.max()) + 1
        order = np.argsort(-self._P[:, k], kind="stable")
        ranked, own, w = self._P[order, k], self._truth[order] == k, self._w[order]
        level = np.cumsum(np.r_[False, ranked[1:] != ranked[:-1]])  # equal scores share one
        held = np.unique(level[own])
        if not len(held):
            return np.full((2, 1 + n_parts), np.nan)
        # Even places lie between the levels that hold examples of the class, odd ones are these.
        after = np.searchsorted(held, level)
        place = 2 * after + (held[np.minimum(after, len(held) - 1)] == level)
        cell = place * n_parts + parts[order]

        def masses(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
            size = (2 * len(held) + 1) * n_parts
            of_part = np.bincount(cell[rows], w[rows], size).reshape(-1, n_parts)
            every = of_part.sum(axis=1, keepdims=True)
            return np.hstack([every, every - of_part])

        hits, false = masses(own)[1::2], masses(~own)
        n_own, n_others = hits.sum(axis=0), false.sum(axis=0)
        beaten, level_with = np.cumsum(false, axis=0)[1::2], false[1::2]
        said = np.cumsum(hits, axis=0) + beaten
        with np.errstate(invalid="ignore", divide="ignore"):
            steps = hits / n_own
            area = (steps * (1 - (beaten - level_with / 2) / n_others)).sum(axis=0)
            precision = np.where(said > 0, np.cumsum(hits, axis=0) / said, 0)
        found = np.array([area, (steps * precision).sum(axis=0)])
        found[:, np.minimum(n_own, n_others) <= TINY * w.sum()] = np.nan
        return found

    def of_all(self, parts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The same of every class, (n_classes, 2, 1 + n_parts)."""
        return np.array([self.of_class(k, parts) for k in range(self._P.shape[1])])


def _bins(confidence: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each example, equally filled; equal confidences share one."""
    n_bins = max(1, min(N_BINS, len(confidence) // 10))
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, n_bins + 1)[1:-1]))
    return np.searchsorted(edges, confidence, side="right")


def _ece(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    is_in: NDArray[np.intp],
    w: NDArray[np.float64],
) -> float:
    gaps = np.bincount(is_in, weights=(confidence - right) * w)
    return float(np.abs(gaps).sum() / w.sum())


def _reliability(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    is_in: NDArray[np.intp],
    level: float,
    w: NDArray[np.float64],
) -> list[Bin]:
    found = []
    for b in np.unique(is_in):
        here = is_in == b
        if not w[here].sum() > 0:
            continue
        found.append(
            Bin(
                n=int(here.sum()),
                confidence=float(np.average(confidence[here], weights=w[here])),
                accuracy=_weighted_share(right[here], w[here], level),
            )
        )
    return found


def _calibration_interval(spread: Spread, bins: Sequence[Bin]) -> Interval:
    """Reaching lower by what noise alone gives: perfect calibration has an error above 0, too."""
    value, low, high = spread
    n = sum(b.n for b in bins)
    noise = sum(
        b.n / n * np.sqrt(2 / np.pi * b.confidence * (1 - b.confidence) / b.n) for b in bins
    )
    return _interval((value, min(low, value - 2 * float(noise)), high))


def _of_classes(
    truth: NDArray[np.intp],
    predicted: NDArray[np.intp],
    names: list[str],
    areas: NDArray[np.float64],
    level: float,
    w: NDArray[np.float64],
    groups: ArrayLike | None,
) -> list[ClassMetrics]:
    found = []
    units = None if groups is None else np.asarray(groups)

    def share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Interval | None:
        """The weighted share of hits among some examples; None where these do not count."""
        own = w[among]
        within = None if units is None else units[among]
        return _weighted_share(hits[among], own, level, within) if own.sum() > 0 else None

    for k, name in enumerate(names):
        own, said = truth == k, predicted == k
        both, either = own & said, own | said
        is_known = bool(own.any())
        overlap = share(both, either) if is_known else None
        area, average = (float(value) for value in areas[k])
        found.append(
            ClassMetrics(
                name=name,
                n=int(own.sum()),
                n_predicted=int(said.sum()),
                precision=share(both, said) if is_known else None,
                recall=share(both, own),
                # F1 is 2J / (1 + J) of Jaccard's overlap J, a share of the union.
                f1=None if overlap is None else Interval(*(2 * v / (1 + v) for v in overlap)),
                roc_auc=None if np.isnan(area) else area,
                average_precision=None if np.isnan(average) else average,
            )
        )
    return found


def _weighted_share(
    hits: NDArray[np.bool_],
    w: NDArray[np.float64],
    level: float,
    groups: ArrayLike | None = None,
) -> Interval:
    """The weighted share of true entries; groups count by their design effect."""
    if (w == w[0]).all():
        return accuracy_interval(hits, level, groups)
    n = float(w.sum() ** 2 / (w**2).sum()) / design_effect(hits, groups)
    return share_interval(float(w @ hits / w.sum()), n, level)


def _interval(spread: Spread) -> Interval:
    value, low, high = spread
    return Interval(value, max(low, 0.0), min(high, 1.0))


def _estimate(spread: Spread, lowest: float, highest: float) -> Estimate:
    value, low, high = spread
    return Estimate(value, max(low, lowest), min(high, highest))


def _kappa_interval(spread: Spread, accuracy: Interval, chance: float) -> Estimate:
    """At least as wide as accuracy makes it: kappa is (accuracy - chance) / (1 - chance)."""
    value, low, high = spread
    below, above = accuracy.value - accuracy.low, accuracy.high - accuracy.value
    scale = 1 / max(1 - chance, TINY)
    return _estimate(
        (value, min(low, value - scale * below), max(high, value + scale * above)), -1, 1
    )


def _cost_interval(spread: Spread, accuracy: Interval, costs: NDArray[np.float64]) -> Estimate:
    """At least as wide as accuracy makes it, at the mean cost of a confusion."""
    value, low, high = spread
    off = ~np.eye(len(costs), dtype=bool)
    price = float(costs[off].mean())
    below, above = accuracy.high - accuracy.value, accuracy.value - accuracy.low
    return _estimate(
        (value, min(low, value - price * below), max(high, value + price * above)), 0, np.inf
    )


def _area_interval(spread: Spread, n: int, level: float) -> Interval | None:
    """None where no class has both kinds; near 1, where little varies, as wide as of a share."""
    value, low, high = spread
    if np.isnan(value):
        return None
    if n * (1 - value) < FEW_EVENTS:
        share = share_interval(value, n, level)
        low, high = min(low, share.low), max(high, share.high)
    return _interval((value, low, high))


def _at_least(accuracy: Interval) -> Callable[[Spread], Interval]:
    """Intervals of shares that are no narrower, on either side, than that of accuracy."""
    below, above = accuracy.value - accuracy.low, accuracy.high - accuracy.value

    def widened(spread: Spread) -> Interval:
        value, low, high = spread
        return _interval((value, min(low, value - below), max(high, value + above)))

    return widened
