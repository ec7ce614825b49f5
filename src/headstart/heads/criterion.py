"""What a selection optimises: a metric, as one number per example.

The *merit* of an example is the metric plus the example's share in its deviation,
``metric + n w_i d(metric)/d(w_i)`` (the infinitesimal jackknife; Efron 1982, The Jackknife, the
Bootstrap and Other Resampling Plans, chapter 6). The mean of the merits is the metric, and their spread gives its
standard error, so that two classifiers are compared by paired differences of merits whatever the
metric is. Of accuracy the merits are zeros and ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import did_you_mean
from headstart.heads.calibration import fit_temperature

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "log_loss",
    "roc_auc",
    "average_precision",
    "kappa",
    "quadratic_kappa",
    "cost",
)
"""What selection can optimise; ``cost`` is the mean cost of confusions."""
LOWER_IS_BETTER = frozenset({"log_loss", "cost"})
# Of probabilities, so that no logarithm is infinite.
TINY = 1e-12

Values = NDArray[np.float64]
_Curve = Callable[[Values, NDArray[np.bool_], Values], Values]


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """The metric that a selection optimises.

    Parameters
    ----------
    metric : str, default "accuracy"
        One of :data:`METRICS`.
    ranks : tuple of int, optional
        Grade of each class, in the order of the columns, for ``"quadratic_kappa"``.
    costs : tuple of tuple of float, optional
        Cost of each true class (row) taken for each other (column), for ``"cost"``. With costs, a
        class is predicted because its expected cost is the least.

    Raises
    ------
    ValueError
        The metric is unknown, or lacks the order or the costs that it needs.
    """

    metric: str = "accuracy"
    ranks: tuple[int, ...] | None = None
    costs: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            close = did_you_mean(self.metric, METRICS)
            raise ValueError(
                f"metric must be one of {', '.join(METRICS)}; got {self.metric!r}.{close}"
            )
        if self.metric == "quadratic_kappa" and self.ranks is None:
            raise ValueError("metric quadratic_kappa needs the order of the classes; got none")
        if self.metric == "cost" and self.costs is None:
            raise ValueError("metric cost needs the costs of confusions; got none")

    @property
    def is_plain(self) -> bool:
        """Whether merits without weights are just which examples are classified correctly."""
        return self.metric == "accuracy" and self.costs is None

    def merits(
        self, scores: ArrayLike, member: ArrayLike, weight: ArrayLike | None = None
    ) -> Values:
        """The merit of each example; the mean is the metric, or its negative where less is better.

        Parameters
        ----------
        scores : array-like of shape (n_samples, n_classes)
            Out-of-fold scores. Metrics of probabilities calibrate them first
            (:func:`headstart.heads.fit_temperature`).
        member : array-like of shape (n_samples,), int
            Column of the true class.
        weight : array-like of shape (n_samples,), optional
            How often each example counts.

        Returns
        -------
        float64 array (n_samples,)
        """
        s, y = np.asarray(scores, dtype=np.float64), np.asarray(member, dtype=np.intp)
        w = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
        if not w.sum() > 0:
            return np.zeros(len(y))
        if self.costs is None and self.metric in PREDICTED:
            return self._of_predicted(s.argmax(axis=1), y, w, s.shape[1])
        return self.of_probabilities(fit_temperature(s, y, w).probabilities(s), y, w)

    def of_probabilities(
        self, P: NDArray[np.float64], member: NDArray[np.intp], weight: Values | None = None
    ) -> Values:
        """The same of calibrated probabilities (n_samples, n_classes)."""
        y = np.asarray(member, dtype=np.intp)
        w = np.ones(len(y)) if weight is None else weight
        if self.metric in PREDICTED or self.metric == "cost":
            return self._of_predicted(self.decide(P), y, w, P.shape[1])
        if self.metric == "log_loss":
            return _mean(np.log(np.clip(P[np.arange(len(y)), y], TINY, 1)), w)
        return _of_ranking(P, y, w, _area if self.metric == "roc_auc" else average_precision_merits)

    def decide(self, P: NDArray[np.float64]) -> NDArray[np.intp]:
        """The predicted class of each row of probabilities, as positions."""
        return P.argmax(axis=1) if self.costs is None else least_cost(P, self.costs)

    def _of_predicted(
        self, predicted: NDArray[np.intp], y: NDArray[np.intp], w: Values, n_classes: int
    ) -> Values:
        right = (predicted == y).astype(np.float64)
        if self.metric == "accuracy":
            return _mean(right, w)
        if self.metric == "cost":
            return _mean(-np.asarray(self.costs, dtype=np.float64)[y, predicted], w)
        if self.metric == "balanced_accuracy":
            return _balanced(right, y, w)
        if self.metric == "macro_f1":
            return _macro_f1(predicted, y, w, n_classes)
        if self.metric == "kappa":
            return _kappa(predicted, y, w, 1 - np.eye(n_classes))
        ranks = np.asarray(self.ranks, dtype=np.float64)
        return _kappa(predicted, y, w, np.subtract.outer(ranks, ranks) ** 2)


PREDICTED = frozenset({"accuracy", "balanced_accuracy", "macro_f1", "kappa", "quadratic_kappa"})
"""Metrics of the predicted classes alone."""


def least_cost(P: ArrayLike, costs: ArrayLike) -> NDArray[np.intp]:
    """The class of least expected cost of each row of probabilities; of equals the more probable.

    Parameters
    ----------
    P : array-like of shape (n_samples, n_classes)
        Calibrated probabilities.
    costs : array-like of shape (n_classes, n_classes)
        Cost of each true class (row) taken for each other (column).
    """
    probabilities = np.asarray(P, dtype=np.float64)
    expected = probabilities @ np.asarray(costs, dtype=np.float64)
    near = expected <= expected.min(axis=1, keepdims=True) * (1 + 1e-9) + 1e-12
    return np.asarray(np.where(near, probabilities, -1.0).argmax(axis=1))


def read_weights(sample_weight: ArrayLike | None, n: int) -> NDArray[np.float64]:
    """Checked weights of the examples; ones by default.

    Raises ValueError where a weight is negative or not finite, all are zero, or their number is not
    that of the examples.
    """
    if sample_weight is None:
        return np.ones(n)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},); got {weight.shape}")
    if not (fine := np.isfinite(weight) & (weight >= 0)).all():
        i = int(fine.argmin())
        raise ValueError(f"sample_weight must be 0 or more; got {weight[i]:g} at position {i}")
    if not weight.sum() > 0:
        raise ValueError("sample_weight must not be zero for all examples")
    return weight


def ranks_of(order: Sequence[str], classes: Sequence[str]) -> tuple[int, ...]:
    """The grade of each class, in the order of `classes`.

    Raises ValueError where `order` does not name each class once.
    """
    if sorted(order) != sorted(classes):
        raise ValueError(
            f"order must name each of the {len(classes)} classes once; got {', '.join(order)}"
        )
    place = {name: i for i, name in enumerate(order)}
    return tuple(place[name] for name in classes)


def _around(value: float, slope: Values, w: Values) -> Values:
    """Merits from the derivatives of a metric by the weights."""
    return np.asarray(value + len(w) * w * slope)


def _mean(values: Values, w: Values) -> Values:
    mean = float(w @ values / w.sum())
    return _around(mean, (values - mean) / w.sum(), w)


def _balanced(right: Values, y: NDArray[np.intp], w: Values) -> Values:
    mass, hits = np.bincount(y, weights=w), np.bincount(y, weights=w * right)
    is_there = mass > 0
    recall = np.divide(hits, mass, out=np.zeros_like(hits), where=is_there)
    share = is_there.sum() * np.where(is_there, mass, 1.0)
    return _around(float(recall[is_there].mean()), (right - recall[y]) / share[y], w)


def _macro_f1(
    predicted: NDArray[np.intp], y: NDArray[np.intp], w: Values, n_classes: int
) -> Values:
    both = np.bincount(y, weights=w, minlength=n_classes) + np.bincount(
        predicted, weights=w, minlength=n_classes
    )
    right = (predicted == y).astype(np.float64)
    hits = np.bincount(y, weights=w * right, minlength=n_classes)
    is_there = both > 0
    mass = np.where(is_there, both, 1.0)
    f1 = 2 * hits / mass
    slope = 2 * right / mass[y] - f1[y] / mass[y] - f1[predicted] / mass[predicted]
    return _around(float(f1[is_there].mean()), slope / is_there.sum(), w)


def _kappa(
    predicted: NDArray[np.intp], y: NDArray[np.intp], w: Values, distance: NDArray[np.float64]
) -> Values:
    """One less the mean distance over that expected of independent raters."""
    K, total = len(distance), w.sum()
    true = np.bincount(y, weights=w, minlength=K) / total
    said = np.bincount(predicted, weights=w, minlength=K) / total
    far = distance[y, predicted]
    observed, expected = float(w @ far / total), float(true @ distance @ said)
    if expected <= 0:
        return np.ones(len(y))
    by_observed = (far - observed) / total
    by_expected = ((distance @ said)[y] + (true @ distance)[predicted] - 2 * expected) / total
    slope = observed * by_expected / expected**2 - by_observed / expected
    return _around(1 - observed / expected, slope, w)


def _of_ranking(P: NDArray[np.float64], y: NDArray[np.intp], w: Values, of_class: _Curve) -> Values:
    """The mean over the classes that have examples and counter-examples; 0.5 where none has."""
    merits, n_classes = np.zeros(len(y)), 0
    for k in range(P.shape[1]):
        own = y == k
        if w[own].sum() > 0 and w[~own].sum() > 0:
            merits += of_class(P[:, k], own, w)
            n_classes += 1
    return merits / n_classes if n_classes else np.full(len(y), 0.5)


def _sorted(
    score: Values, own: NDArray[np.bool_], w: Values
) -> tuple[NDArray[np.intp], Values, Values]:
    """The place of each example among the distinct scores, descending, and the mass there."""
    levels, at = np.unique(-score, return_inverse=True)
    at, n = at.reshape(-1), len(levels)
    hits = np.bincount(at[own], weights=w[own], minlength=n).astype(np.float64)
    return at, hits, np.bincount(at, weights=w, minlength=n) - hits


def _area(score: Values, own: NDArray[np.bool_], w: Values) -> Values:
    """Area under the ROC curve: the placement values of DeLong et al. (1988)."""
    at, hits, false = _sorted(score, own, w)
    above_hits, above_false = np.cumsum(hits) - hits / 2, np.cumsum(false) - false / 2
    # Of an example of the class, the mass of the others below it; of another, of the class above it.
    placed = np.where(own, 1 - above_false[at] / false.sum(), above_hits[at] / hits.sum())
    area = float(w[own] @ placed[own] / hits.sum())
    return _around(area, (placed - area) / np.where(own, hits.sum(), false.sum()), w)


def average_precision_merits(score: Values, own: NDArray[np.bool_], w: Values) -> Values:
    """Of one class or label: the merit of each example, all (n_samples,); `own` are those that have it."""
    at, hits, false = _sorted(score, own, w)
    found, said = np.cumsum(hits), np.cumsum(hits + false)
    safe = np.where(said > 0, said, 1.0)
    precision = found / safe
    value = float(hits @ precision / hits.sum())
    # An example changes the precision at every threshold that it passes: all at its level or below.
    by_own = np.cumsum((hits * (said - found) / safe**2)[::-1])[::-1] / hits.sum()
    by_other = -np.cumsum((hits * found / safe**2)[::-1])[::-1] / hits.sum()
    slope = np.where(own, by_own[at] + (precision[at] - value) / hits.sum(), by_other[at])
    return _around(value, slope, w)
