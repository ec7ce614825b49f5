"""Probabilities from scores: temperature scaling, and the weighted mean of two models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Inverse temperatures outside these are a step function or a constant.
LOG_SCALE_BOUNDS = (np.log(1e-4), np.log(1e4))
# Of more scores than this a part is fitted first, and the scale of all is sought so near to that of the part.
MOST_AT_ONCE, NEAR_LOG_SCALE = 2**21, 0.05
# Scores whose probabilities are in memory at once.
BLOCK_NUMBERS = 2**20


@dataclass(frozen=True, slots=True)
class Temperature:
    """``softmax(scale * scores)``.

    Temperature scaling (Guo et al. 2017, "On calibration of modern neural networks") has one
    parameter, so a few dozen out-of-fold scores fit it, and it keeps the order of the classes: the
    class that is predicted is always the one shown as most probable. (Vector scaling and
    one-vs-rest Platt scaling break this.)

    Attributes
    ----------
    scale : float > 0
        The inverse temperature.
    """

    scale: float

    def probabilities(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (n_samples, n_classes) of scores of that shape; rows sum to 1."""
        return _softmax(self.scale * np.asarray(scores, dtype=np.float64))


def fit_temperature(
    scores: ArrayLike, member: ArrayLike, weight: ArrayLike | None = None
) -> Temperature:
    """The temperature under which the scores predict the classes best (log loss).

    Parameters
    ----------
    scores : array-like of shape (n_samples, n_classes)
        Scores of examples that were held out when the models were trained.
    member : array-like of shape (n_samples,), int
        Column of the true class.
    weight : array-like of shape (n_samples,), optional
        How often each example counts.

    Returns
    -------
    Temperature

    Raises
    ------
    ValueError
        If the shapes do not match, a score is not finite, or there is no example.

    Notes
    -----
    Deviates from Guo et al. in the targets: as in Platt (1999), whose case of two classes this is,
    the true class is given ``(n + 1) / (n + 2)``, Laplace's rule of succession, and the others
    share the rest. Where every example is recognised the likelihood would be best at temperature
    zero, and an error unthinkable; with these targets the probabilities stay short of 1 by what
    ``n`` examples can say. The rest is one error in ``n + 2`` however many classes there are: one
    for each class would make 300 examples of 15 classes look far less sure than they are, and what
    was calibrated on few examples worse in log loss than what was calibrated on many.
    """
    s, k = np.asarray(scores), np.asarray(member)
    w = np.ones(len(s)) if weight is None else np.asarray(weight, dtype=np.float64)
    if s.ndim != 2 or s.shape[0] == 0 or k.shape != s.shape[:1] or w.shape != s.shape[:1]:
        raise ValueError(
            f"scores must be (n_samples, n_classes) with one label a row; got {s.shape} and {k.shape}"
        )
    if not np.isfinite(s).all():
        raise ValueError("scores holds NaN or infinity")
    low, high = LOG_SCALE_BOUNDS
    if s.size > MOST_AT_ONCE:
        # The scale of a part of the examples tells nearly where that of all is.
        some = np.arange(0, len(s), -(-s.size // MOST_AT_ONCE))
        if w[some].any():
            near = _best_log_scale(s[some], k[some], w[some], low, high)
            low, high = max(low, near - NEAR_LOG_SCALE), min(high, near + NEAR_LOG_SCALE)
    found = _best_log_scale(s, k, w, low, high)
    if found in (low, high):
        found = _best_log_scale(s, k, w, *LOG_SCALE_BOUNDS)
    return Temperature(float(np.exp(found)))


def _best_log_scale(
    s: NDArray[Any], k: NDArray[np.integer], w: NDArray[np.float64], low: float, high: float
) -> float:
    """Where the loss, which is convex, has its minimum between two bounds, a block of rows at a time."""
    from scipy.optimize import brentq  # takes a quarter as long to import as torch

    n_classes, total = s.shape[1], float(w.sum())
    other = 1 / ((total + 2) * max(n_classes - 1, 1))
    own = (total + 1) / (total + 2) - other
    step = max(1, BLOCK_NUMBERS // n_classes)

    def slope(log_scale: float) -> float:
        """Derivative of the log loss by the scale."""
        found = 0.0
        for start in range(0, len(s), step):
            rows = slice(start, start + step)
            part = s[rows].astype(np.float64)
            p = _softmax(np.exp(log_scale) * part)
            aimed = own * part[np.arange(len(part)), k[rows]] + other * part.sum(axis=1)
            found += float(w[rows] @ ((p * part).sum(axis=1) - aimed))
        return found / total

    if slope(low) >= 0:
        return low
    if slope(high) <= 0:
        return high
    return float(brentq(slope, low, high, xtol=1e-12))


@dataclass(frozen=True, slots=True)
class Pool:
    """``softmax(scale * (weight * log P + (1 - weight) * log Q))`` of two models' P and Q.

    The logarithmic opinion pool (Genest and Zidek 1986, "Combining probability distributions"): the
    geometric mean where the weight is one half. A model counts by its weight and by how sure it is.

    Attributes
    ----------
    scale : float > 0
    weight : float in [0, 1]
        Of the first model; 1 leaves the other one out.
    """

    scale: float = 1.0
    weight: float = 0.5

    def probabilities(self, own: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (n_samples, n_classes) of two models' log-probabilities of that shape."""
        first, second = np.asarray(own, dtype=np.float64), np.asarray(other, dtype=np.float64)
        return _softmax(self.scale * (self.weight * first + (1 - self.weight) * second))


def fit_pool(
    own: ArrayLike, other: ArrayLike, member: ArrayLike, weight: ArrayLike | None = None
) -> Pool:
    """The scale and weight under which two models together predict the classes best (log loss).

    Parameters
    ----------
    own, other : array-like of shape (n_samples, n_classes)
        Log-probabilities of examples that were held out when the models were trained.
    member : array-like of shape (n_samples,), int
        Column of the true class.
    weight : array-like of shape (n_samples,), optional
        How often each example counts.

    Returns
    -------
    Pool
        Fitted to the targets of :func:`fit_temperature`; the loss is convex in
        ``scale * weight`` and ``scale * (1 - weight)``, neither of which may be negative.

    Raises
    ------
    ValueError
        If the shapes do not match, a value is not finite, or there is no example.
    """
    from scipy.optimize import minimize

    both = np.stack([np.asarray(own, dtype=np.float64), np.asarray(other, dtype=np.float64)])
    k = np.asarray(member)
    if both.ndim != 3 or both.shape[1] == 0 or k.shape != both.shape[1:2]:
        raise ValueError(
            f"both must be (n_samples, n_classes) with one label a row; got {both.shape[1:]} and "
            f"{k.shape}"
        )
    if not np.isfinite(both).all():
        raise ValueError("log-probabilities hold NaN or infinity")
    n, n_classes = both.shape[1:]
    w = np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64)
    if w.shape != (n,):
        raise ValueError(f"weight must be (n_samples,), got {w.shape} for {n} samples")
    total = float(w.sum())
    target = np.full((n, n_classes), 1 / ((total + 2) * max(n_classes - 1, 1)))
    target[np.arange(n), k] = (total + 1) / (total + 2)
    share = (w / total)[:, None]

    def loss(exponents: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = np.tensordot(exponents, both, axes=1)
        scores -= scores.max(axis=1, keepdims=True)
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        slope = np.tensordot(both, share * (np.exp(log_p) - target), axes=2)
        return -float((share * target * log_p).sum()), slope

    highest = float(np.exp(LOG_SCALE_BOUNDS[1]))
    found = minimize(
        loss, np.array([0.5, 0.5]), jac=True, method="L-BFGS-B", bounds=[(0.0, highest)] * 2,
        options={"ftol": 1e-13, "gtol": 1e-8},
    )  # fmt: skip
    scale = float(found.x.sum())
    if scale <= np.exp(LOG_SCALE_BOUNDS[0]):
        return Pool(scale=float(np.exp(LOG_SCALE_BOUNDS[0])))
    return Pool(scale=scale, weight=float(found.x[0]) / scale)


def _softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    p = x - x.max(axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    return np.asarray(p)
