"""From the descriptors of an image to one vector: bag of words, spatial pyramid, Fisher vector."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart.baselines.vocabulary import Mixture, with_places

Floats = NDArray[np.float32]
Assignment = Literal["hard", "soft"]

ASSIGNMENTS: tuple[Assignment, ...] = ("hard", "soft")
N_NEAREST = 5
# Weight exp(-BETA d^2), d^2 between RootSIFT descriptors of unit length (0 to 2).
BETA = 10.0


def assign_words(
    descriptors: Floats, words: Floats, how: Assignment
) -> tuple[NDArray[np.intp], Floats]:
    """Assign descriptors to words.

    Parameters
    ----------
    descriptors : float32 array (n, 128)
        RootSIFT.
    words : float32 array (n_words, 128)
    how : {"hard", "soft"}
        ``"hard"`` counts the nearest word. ``"soft"`` distributes a descriptor over the 5 nearest words
        by ``exp(-10 d^2)`` (van Gemert 2008; only the nearest: Liu et al. 2011).

    Returns
    -------
    index : int array (n, m)
        ``m`` is 1 or 5, at most ``n_words``.
    weight : float32 array (n, m)
        Rows sum to one.
    """
    # |x|^2 is the same for every word, so it does not affect the order.
    distance = (words**2).sum(axis=1) - 2 * descriptors @ words.T
    if how == "hard":
        nearest = distance.argmin(axis=1)[:, None]
        return nearest, np.ones(nearest.shape, np.float32)
    m = min(N_NEAREST, len(words))
    nearest = np.argpartition(distance, m - 1, axis=1)[:, :m]
    near = np.take_along_axis(distance, nearest, axis=1)
    weight = np.exp(-BETA * (near - near.min(axis=1, keepdims=True)))
    return nearest, (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def spatial_pyramid(
    index: NDArray[np.intp], weight: Floats, places: Floats, n_words: int, n_levels: int
) -> Floats:
    """Histograms of words in ever finer cells (Lazebnik, Schmid and Ponce 2006).

    Level ``l`` has ``2**l x 2**l`` cells. Every level sums to its weight in the pyramid match: with
    ``L`` the last level, ``1 / 2**L`` for level 0 and ``1 / 2**(L - l + 1)`` for the others. The
    first ``n_words`` columns, level 0, are the plain bag of words.

    Parameters
    ----------
    index : int array (n, m)
    weight : float32 array (n, m)
    places : float32 array (n, 2)
        x and y in [0, 1].

    Returns
    -------
    float32 array (n_words * (4**n_levels - 1) / 3,)
        Sums to one; zeros for an image without descriptors.
    """
    total = float(weight.sum()) or 1.0
    levels = []
    for level in range(n_levels):
        side = 2**level
        column, row = np.minimum((places * side).astype(np.intp), side - 1).T
        bins = ((row * side + column)[:, None] * n_words + index).ravel()
        counts = np.bincount(bins, weight.ravel(), side * side * n_words)
        levels.append(counts * (_level_weight(level, n_levels) / total))
    return np.concatenate(levels).astype(np.float32)


def _level_weight(level: int, n_levels: int) -> float:
    last = n_levels - 1
    return 0.5**last if level == 0 else 0.5 ** (last - level + 1)


def chi2_map(histograms: Floats) -> Floats:
    """Features whose products approximate the additive chi-square kernel (Vedaldi, Zisserman 2012).

    Parameters
    ----------
    histograms : float32 array (n, d), not negative

    Returns
    -------
    float32 array (n, 3 d)
        A linear SVM on them approximates a chi-square kernel SVM, much faster.
    """
    from sklearn.kernel_approximation import AdditiveChi2Sampler

    mapped = AdditiveChi2Sampler(sample_steps=2).fit_transform(histograms)
    return np.asarray(mapped, np.float32)


def fisher_vector(descriptors: Floats, places: Floats, mixture: Mixture) -> Floats:
    """The improved Fisher vector (Perronnin, Sánchez and Mensink 2010).

    The gradient of the descriptors' mean log-likelihood with respect to the log-weights, means and
    deviations of the mixture, scaled by the inverse square root of its (approximate) Fisher
    information; then the signed square root, and unit length. The weights are included, as in Sánchez
    et al. (2013), because an image whose descriptors all belong to one Gaussian has no other gradient.

    Parameters
    ----------
    descriptors : float32 array (n, 128)
        RootSIFT.
    places : float32 array (n, 2)
    mixture : Mixture
        Of K Gaussians over D coordinates.

    Returns
    -------
    float32 array (K * (1 + 2 * D),)
        Zeros for an image without descriptors.
    """
    n_gaussians, n_dims = mixture.means.shape
    if not len(descriptors):
        return np.zeros(n_gaussians * (1 + 2 * n_dims), np.float32)
    points = with_places((descriptors - mixture.mean) @ mixture.axes, places)
    share = _posteriors(points, mixture)
    n, of_each = len(points), share.sum(axis=0)[:, None]
    first, second = share.T @ points, share.T @ points**2
    mu, sigma = mixture.means, mixture.deviations
    root = np.sqrt(mixture.weights)[:, None]
    by_weight = (of_each / n - mixture.weights[:, None]) / root
    by_mean = (first - of_each * mu) / (sigma * root * n)
    spread = (second - 2 * mu * first + of_each * mu**2) / sigma**2 - of_each
    by_deviation = spread / (root * n * np.sqrt(2))
    return _power_and_length(
        np.concatenate([by_weight.ravel(), by_mean.ravel(), by_deviation.ravel()])
    )


def _posteriors(points: Floats, mixture: Mixture) -> Floats:
    """Posterior probability of each Gaussian for each point, (n, K)."""
    precision = 1 / mixture.deviations**2
    scaled = mixture.means * precision
    log = points @ scaled.T - 0.5 * points**2 @ precision.T
    constant = -0.5 * (mixture.means * scaled).sum(axis=1) - np.log(mixture.deviations).sum(axis=1)
    log += constant + np.log(mixture.weights)
    share = np.exp(log - log.max(axis=1, keepdims=True))
    normalised: Floats = share / share.sum(axis=1, keepdims=True)
    return normalised


def _power_and_length(vector: NDArray[np.floating]) -> Floats:
    rooted = np.sign(vector) * np.sqrt(np.abs(vector))
    length = float(np.linalg.norm(rooted)) or 1.0
    unit: Floats = (rooted / length).astype(np.float32)
    return unit
