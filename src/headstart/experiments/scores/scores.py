"""Transferability scores: how well features suit labels, told without training on them.

Each score is one number for features (or source predictions) and labels; only its order over
candidates means anything. What they promise is measured by `headstart.experiments.scores.measure`.

Letters: ``n`` images, ``d`` features, ``K`` target classes, ``Z`` source classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "h_score",
    "leep",
    "logme",
    "nce",
    "neighbour_accuracy",
    "neighbours_correct",
    "shrinkage",
    "shrunk_h_score",
]

Array = NDArray[np.float64]

MAX_STEPS = 1000
TOLERANCE = 1e-8
N_NEIGHBOURS = 5
ROWS_AT_ONCE = 1024
# alpha / beta is kept within this factor of the largest squared singular value: the evidence of a
# class that the features say nothing of, or fit without error, has its supremum at infinity or zero.
WIDEST = 1e12


def logme(X: ArrayLike, y: ArrayLike) -> float:
    """Log of the maximum evidence of a linear model, an image, averaged over the classes.

    You, Liu, Wang and Long, "LogME: Practical assessment of pre-trained models for transfer
    learning" (ICML 2021), section 4 and algorithm 1. For each class its indicator is regressed on
    the features as they are, ``w ~ N(0, 1/alpha)``, ``t ~ N(Xw, 1/beta)``; alpha and beta are
    those of the largest evidence. The fixed point is iterated on ``alpha / beta`` alone in the
    basis of the singular vectors, which costs no inverse and holds for ``n < d`` too.

    Raises ValueError where the shapes do not fit, values are not finite, or there are fewer than
    two classes.

    Parameters
    ----------
    X : array-like of shape (n, d), float
        Features; neither centred nor scaled here. Scaling them all by one factor changes nothing.
    y : array-like of shape (n,)
        Labels.

    Returns
    -------
    float
        Higher is better. Not bounded.

    Examples
    --------
    >>> round(logme([[0.0], [0.1], [1.0], [1.1]], ["a", "a", "b", "b"]), 3)
    -0.276
    """
    data, member, n_per_class = _checked(X, y)
    n = len(data)
    U, s = _left_vectors(data)
    indicators = np.eye(len(n_per_class))[member]
    projections = (U.T @ indicators) ** 2
    # ||indicator||^2 less what lies in the span of the features.
    rest = np.clip(n_per_class - projections.sum(axis=0), 0, None)
    if not s.size:
        return float(_log_evidence(s, projections, rest, n, np.ones(len(rest))).mean() / n)
    ratio = _best_ratio(s**2, projections, rest, n)
    return float(_log_evidence(s**2, projections, rest, n, ratio).mean() / n)


def _best_ratio(squares: Array, projections: Array, rest: Array, n: int) -> Array:
    """The fixed point of alpha / beta, one for each class: MacKay's update from ratio 1."""
    low, high = squares[0] / WIDEST, squares[0] * WIDEST
    # In proportion to the features, so that their scale does not decide which fixed point is found.
    ratio = np.full(projections.shape[1], squares.mean())
    s2 = squares[:, None]
    for _ in range(MAX_STEPS):
        shrunk = ratio / (ratio + s2)
        effective = (s2 / (ratio + s2)).sum(axis=0)  # gamma of the paper
        left = n - len(squares) + shrunk.sum(axis=0)  # n - gamma without cancellation
        weights = (s2 * projections / (ratio + s2) ** 2).sum(axis=0)  # m'm
        errors = (shrunk**2 * projections).sum(axis=0) + rest  # ||Xm - t||^2
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = effective * errors / (weights * left)
        moved = np.clip(np.nan_to_num(moved, nan=high, posinf=high), low, high)
        done = np.abs(np.log(moved / ratio)).max() < TOLERANCE
        ratio = moved
        if done:
            break
    return ratio


def _log_evidence(squares: Array, projections: Array, rest: Array, n: int, ratio: Array) -> Array:
    """log p(t | X, alpha, beta) at the best alpha for each ratio alpha / beta, (K,).

    ``t ~ N(0, (ratio I + XX') / alpha)``, whose determinant and inverse are in the singular values.
    """
    spread = ratio + squares[:, None]
    quadratic = (projections / spread).sum(axis=0) + rest / ratio
    alpha = n / np.maximum(quadratic, np.finfo(float).tiny)
    log_determinant = np.log(spread).sum(axis=0) + (n - len(squares)) * np.log(ratio)
    evidence: Array = -0.5 * (n * np.log(2 * np.pi / alpha) + log_determinant + n)
    return evidence


def h_score(X: ArrayLike, y: ArrayLike) -> float:
    """``tr(cov(f)^+ cov(E[f | y]))``: the share of feature variance between classes, summed.

    Bao et al., "An information-theoretic approach to transferability in task transfer learning"
    (ICIP 2019), definition 2; the pseudo-inverse is that of their code.

    With no more images than features it is ``K - 1`` whatever the labels: use `shrunk_h_score`.

    Raises ValueError as for `logme`.

    Parameters
    ----------
    X : array-like of shape (n, d), float
        Features. Any invertible linear map of them leaves the score as it is.
    y : array-like of shape (n,)
        Labels.

    Returns
    -------
    float
        From 0 to ``K - 1``; higher is better.
    """
    data, member, n_per_class = _checked(X, y)
    U, _ = _left_vectors(data - data.mean(axis=0))
    return float(_between(U, member, n_per_class).sum())


def shrunk_h_score(X: ArrayLike, y: ArrayLike) -> float:
    """The H-score with a shrunk covariance, which stays informative for few images.

    Ibrahim, Ponomareva and Mazumder, "Newer is not always better: Rethinking transferability
    metrics, their peculiarities, stability and performance" (2021), section 4: the covariance is
    that of Ledoit and Wolf (2004), ``(1 - a) S + a tr(S)/d I``, and the covariance of the class
    means is multiplied by ``1 - a``. All is computed in the basis of the singular vectors.

    Raises ValueError as for `logme`.

    Parameters
    ----------
    X : array-like of shape (n, d), float
        Features.
    y : array-like of shape (n,)
        Labels.

    Returns
    -------
    float
        From 0 to ``K - 1``; higher is better.
    """
    data, member, n_per_class = _checked(X, y)
    centred = data - data.mean(axis=0)
    U, s = _left_vectors(centred)
    if not s.size:
        return 0.0
    variances = s**2 / len(data)
    a = shrinkage(centred)
    shrunk = (1 - a) * variances + a * variances.sum() / data.shape[1]
    return float((1 - a) * (_between(U, member, n_per_class) * variances / shrunk).sum())


def shrinkage(centred: ArrayLike) -> float:
    """The weight of the identity in the covariance estimate of Ledoit and Wolf (2004).

    "A well-conditioned estimator for large-dimensional covariance matrices", lemma 3.2 to 3.5, by
    the sums of fourth powers that need no ``d x d`` matrix.

    Parameters
    ----------
    centred : array-like of shape (n, d), float
        Features less their mean.

    Returns
    -------
    float
        From 0 to 1.
    """
    data = np.asarray(centred, dtype=np.float64)
    n, d = data.shape
    # The smaller of the two Gram matrices; both have the same sum of squares.
    gram = data @ data.T if n < d else data.T @ data
    sum_of_squares = float((gram**2).sum()) / n**2  # ||S||^2
    lengths = (data**2).sum(axis=1)
    mean_variance = float(lengths.sum()) / (n * d)
    distance = sum_of_squares - d * mean_variance**2  # ||S - m I||^2
    noise = (float((lengths**2).sum()) / n - sum_of_squares) / n
    return min(noise, distance) / distance if distance > 0 and noise > 0 else 0.0


def leep(P: ArrayLike, y: ArrayLike) -> float:
    """Log expected empirical prediction: mean log-likelihood of the labels by way of source classes.

    Nguyen et al., "LEEP: A new measure to evaluate transferability of learned representations"
    (ICML 2020), section 3, equations 1 and 2.

    Raises ValueError where the shapes do not fit, rows do not sum to 1, or there are fewer than two
    classes.

    Parameters
    ----------
    P : array-like of shape (n, Z), float
        Probabilities of the source classes by the source classifier.
    y : array-like of shape (n,)
        Target labels.

    Returns
    -------
    float
        At most 0; higher is better.
    """
    theta, member, n_per_class = _checked(P, y)
    if theta.min() < 0 or np.abs(theta.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError("P must hold probabilities: rows of values from 0 that sum to 1")
    joint = np.zeros((len(n_per_class), theta.shape[1]))
    np.add.at(joint, member, theta)
    marginal = joint.sum(axis=0)
    given_source = joint / np.where(marginal > 0, marginal, 1)
    likelihood = np.einsum("nz,nz->n", theta, given_source[member])
    return float(np.log(likelihood).mean())


def nce(z: ArrayLike, y: ArrayLike) -> float:
    """Negative conditional entropy of the target labels given the source labels, in nats.

    Tran, Nguyen and Hassner, "Transferability and hardness of supervised classification tasks"
    (ICCV 2019), section 3.

    Raises ValueError where the lengths differ or there are fewer than two classes.

    Parameters
    ----------
    z : array-like of shape (n,)
        Source label of each image: the source classifier's first choice.
    y : array-like of shape (n,)
        Target labels.

    Returns
    -------
    float
        From ``-log K`` to 0; higher is better.
    """
    source = np.unique(np.asarray(z).ravel(), return_inverse=True)[1].reshape(-1)
    _, member, n_per_class = _checked(source[:, None], y)
    joint = np.zeros((len(n_per_class), int(source.max()) + 1))
    np.add.at(joint, (member, source), 1.0 / len(source))
    filled = joint > 0
    given = (joint / joint.sum(axis=0))[filled]
    return float((joint[filled] * np.log(given)).sum())


def neighbour_accuracy(X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> float:
    """Accuracy of the five nearest neighbours: the share of `neighbours_correct`.

    Parameters
    ----------
    X, y, groups
        As for `neighbours_correct`.

    Returns
    -------
    float
        From 0 to 1; higher is better.
    """
    return float(neighbours_correct(X, y, groups).mean())


def neighbours_correct(
    X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None
) -> NDArray[np.bool_]:
    """Whether the five nearest other images, by cosine, recognise each image.

    Each neighbour votes for its class with ``1 + cosine``.

    Raises ValueError as for `logme`; or there are fewer than two groups.

    Parameters
    ----------
    X : array-like of shape (n, d), float
        Features.
    y : array-like of shape (n,)
        Labels.
    groups : array-like of shape (n,), optional
        An image's neighbours are of other groups; default: every image is a group of its own
        (leave-one-out). With folds that keep near duplicates together, copies do not recognise each
        other.

    Returns
    -------
    bool array (n,)
    """
    data, member, n_per_class = _checked(X, y)
    own = np.arange(len(data)) if groups is None else np.asarray(groups).ravel()
    if len(own) != len(data) or len(np.unique(own)) < 2:
        raise ValueError(
            f"groups needs one value per row and two different ones; got {len(own)} for {len(data)} rows"
        )
    unit = data / np.maximum(np.linalg.norm(data, axis=1, keepdims=True), np.finfo(float).tiny)
    right = np.empty(len(data), dtype=bool)
    for start in range(0, len(data), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        votes = 1 + unit[rows] @ unit.T
        votes[own[rows, None] == own] = 0  # no vote
        nearest = np.argsort(-votes, axis=1, kind="stable")[:, :N_NEIGHBOURS]
        counted = np.zeros((len(votes), len(n_per_class)))
        lines = np.arange(len(votes))
        for column in nearest.T:
            np.add.at(counted, (lines, member[column]), votes[lines, column])
        right[rows] = counted.argmax(axis=1) == member[rows]
    return right


def _left_vectors(data: Array) -> tuple[Array, Array]:
    """Left singular vectors (n, r) and singular values (r,), those above rounding, falling."""
    U, s, _ = np.linalg.svd(data, full_matrices=False)
    kept = s > (s[0] if s.size else 0) * max(data.shape) * np.finfo(float).eps
    return U[:, kept], s[kept]


def _between(U: Array, member: NDArray[np.intp], n_per_class: Array) -> Array:
    """Share of the variance along each singular vector that lies between the classes, (r,)."""
    sums = np.zeros((len(n_per_class), U.shape[1]))
    np.add.at(sums, member, U)
    between: Array = (sums**2 / n_per_class[:, None]).sum(axis=0)
    return between


def _checked(values: ArrayLike, labels: ArrayLike) -> tuple[Array, NDArray[np.intp], Array]:
    """Rows as float64, the class of each as a number, and the size of each class."""
    data: NDArray[Any] = np.asarray(values, dtype=np.float64)
    classes, member = np.unique(np.asarray(labels), return_inverse=True)
    if data.ndim != 2 or len(data) != member.size or not data.shape[1]:
        raise ValueError(
            f"one row per label is needed; got values of shape {data.shape} and {member.size} labels"
        )
    if len(classes) < 2:
        raise ValueError(f"y needs at least 2 classes; got {len(classes)}")
    if not np.isfinite(data).all():
        raise ValueError("the values hold NaN or infinity")
    member = member.reshape(-1)
    return data, member, np.bincount(member).astype(np.float64)
