"""How error falls with the number of images: laws fitted to a learning curve, with intervals.

``error(n) = a + b n^-c`` describes test errors of many learners over several orders of magnitude
(Hestness et al. 2017, "Deep learning scaling is predictable, empirically"; Rosenfeld et al. 2020).
With few images errors may bend away from it; a piecewise law follows them there (Jain et al. 2023, "A
meta-learning approach to predicting performance and data requirements"). The one that predicted the
larger sizes better from the smaller ones is taken. Extrapolation is uncertain above all because `a`, what
no amount of images removes, shows late: the interval comes from refitting to errors that might have been measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.results import Difference, Interval

Array = NDArray[np.float64]

EXPONENTS = np.geomspace(0.05, 2.0, 75)
N_DRAWS = 1_000
# A curve is not an exact power law: this share of the error is allowed for besides the noise.
MISFIT = 0.02
MIN_POINTS = 3
# A piecewise law has four parameters.
MIN_BENT = 4
# Points from which draws are of both laws, and from which points are left out of draws as well.
MIN_BOTH, MIN_REDRAWN = 6, 8
# A gain is given to a ten-thousandth of a point: what is smaller is a floor under a logarithm.
DECIMALS = 6
# Sizes are predicted from those that are at most this share of them, with at least so many images per class.
CHECK_SHARE = 0.5
CHECK_FROM = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerLaw:
    """``error(n) = a + b n^-c`` with ``a, b, c >= 0``, or a piecewise law that is one from a knot on.

    Below `knot` images per class the logarithm of ``b n^-c`` has ``bend (log knot - log n)^2`` added: a
    parabola, which passes into the line without a kink. Jain et al. (2023) learn the knot from other data
    sets; here it is one of the sizes measured. Their law has no floor, and neither have ours that bend.
    """

    a: float
    b: float
    c: float
    bend: float = 0.0
    knot: float = 1.0

    @property
    def is_bent(self) -> bool:
        """Whether it is a piecewise law."""
        return self.bend != 0.0

    def error(self, n: ArrayLike) -> Array:
        """Share of images not recognised with `n` training images per class, at most 1."""
        counts = np.asarray(n, dtype=np.float64)
        falling = self.b * counts**-self.c
        if self.is_bent:
            below = np.maximum(np.log(self.knot / counts), 0.0)
            falling = falling * np.exp(np.minimum(self.bend * below**2, 100.0))
        return np.minimum(self.a + falling, 1.0)

    def count(self, error: float) -> float:
        """Images a class with which it falls to `error`; infinite where it never does."""
        if self.is_bent and float(self.error(self.knot)) <= error:
            grid = np.geomspace(1.0, self.knot, 200)
            return float(grid[np.flatnonzero(self.error(grid) <= error)[0]])
        room = error - self.a
        if room <= 0 or self.c <= 0:
            return np.inf
        with np.errstate(over="ignore"):  # so many that there is no number for it
            return float(np.float64(self.b / room) ** (1 / self.c))


@dataclass(frozen=True, kw_only=True)
class CurveFit:
    """A law with what it might have been."""

    law: PowerLaw  # fitted to the mean of all repeats
    draws: tuple[PowerLaw, ...]  # fitted to errors drawn by their variances (:func:`fit_curve`)
    repeat_sd: float  # standard deviation of the error between repeats at the largest count
    largest: float  # the largest count fitted to
    n_test: float  # independent images on which errors were measured

    def errors(self, n: float, *, seed: int = 0) -> Array:
        """Errors that a measurement with `n` images per class might show, (N_DRAWS,).

        The draws, each with the noise of the choice of training images, of that of test images,
        and the misfit that a law may have.
        """
        rng = np.random.default_rng(seed)
        drawn = np.array([float(law.error(n)) for law in self.draws])
        held_out = drawn * (1 - drawn) / self.n_test
        # Two random choices of n images differ less, the larger n is.
        chosen = self.repeat_sd**2 * min(1.0, self.largest / n)
        misfit = (MISFIT * drawn) ** 2
        noise = rng.standard_normal(drawn.size) * np.sqrt(held_out + chosen + misfit)
        return np.asarray(np.clip(drawn + noise, 0.0, 1.0))

    def accuracy(self, n: float, level: float = 0.95) -> Interval:
        """Accuracy expected with `n` images per class, and the interval of a measurement."""
        low, high = _ends(1 - self.errors(n), level)
        value = 1 - float(self.law.error(n))
        return Interval(value, min(low, value), max(high, value))

    def gain(self, n: float, more: float, level: float = 0.95) -> Difference:
        """What `more` images per class besides `n` bring, with its interval.

        That of the law itself: the noise of a measurement is left out, for both ends share it.
        """
        gains = [float(law.error(n) - law.error(n + more)) for law in (self.law, *self.draws)]
        value, *drawn = np.round(gains, DECIMALS).tolist()
        low, high = _ends(np.array(drawn), level)
        return Difference(value, min(low, value), max(high, value))


def fit_power_law(n: ArrayLike, error: ArrayLike, variance: ArrayLike) -> PowerLaw:
    """Least squares, weighted by one over the variance.

    Raises ValueError where there are fewer than three different counts.

    Parameters
    ----------
    n : array-like of shape (n_points,)
        Images a class, above 0.
    error : array-like of shape (n_points,)
    variance : array-like of shape (n_points,)
        Of each error, above 0.
    """
    counts, errors = np.asarray(n, dtype=np.float64), np.asarray(error, dtype=np.float64)
    weight = 1 / np.asarray(variance, dtype=np.float64)
    if np.unique(counts).size < MIN_POINTS:
        raise ValueError(
            f"a power law needs {MIN_POINTS} different numbers of images; got {counts.tolist()}"
        )
    return _fit(counts, errors[None], weight[None])[0]


def fit_curve(n: Sequence[float], errors: ArrayLike, n_test: float, *, seed: int = 0) -> CurveFit:
    """Fit a law to repeated learning curves, and draw what it might have been.

    That is a piecewise law where it predicts the larger counts as well as a power law or better, from
    those at most half as large (:func:`bends`).

    Each draw is fitted to errors from normal distributions of their variances. Of :data:`MIN_BOTH` points or
    more, half of the draws are laws of the other kind, since which kind holds is as uncertain as what the
    parameters are; of :data:`MIN_REDRAWN` or more, points are drawn with replacement as well.

    Raises ValueError where there are fewer than three different counts.

    Parameters
    ----------
    n : sequence of float, length n_points
        Images a class.
    errors : array-like of shape (n_repeats, n_points)
        Share not recognised, of nested subsets within a repeat.
    n_test : float
        Images on which they were measured; of groups, as many independent images as have the same
        variance.
    seed : int, default 0
        Of the draws.
    """
    counts, table = np.asarray(n, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    n_repeats, n_points = table.shape
    variance = _variance(table, n_test)
    mean = table.mean(axis=0)
    is_bent = bends(counts, table, n_test)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((N_DRAWS, n_points)) * np.sqrt(variance)
    curves = np.vstack([mean, np.clip(mean + noise, 0.0, 1.0)])
    weight = np.tile(1 / variance, (N_DRAWS + 1, 1))
    has_errors = mean[-1] > 0.5 / n_test
    n_other = N_DRAWS // 2 if has_errors and n_points >= MIN_BOTH else 0
    if has_errors and n_points >= MIN_REDRAWN:
        weight[1:] *= _redraws(n_points, rng)

    def fit(is_bent: bool, which: slice) -> list[PowerLaw]:
        if is_bent:
            return fit_piecewise(counts, curves[which], weight[which], floor=0.5 / n_test)
        return _fit(counts, curves[which], weight[which])

    law, *draws = fit(is_bent, slice(0, N_DRAWS + 1 - n_other))
    if n_other:
        draws += fit(not is_bent, slice(-n_other, None))
    spread = table[:, -1].std(ddof=1) if n_repeats > 1 else 0.0
    return CurveFit(
        law=law, draws=tuple(draws), repeat_sd=_smooth_sd(table, float(spread)),
        largest=float(counts[-1]), n_test=n_test,
    )  # fmt: skip


def _redraws(n_points: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """How often each point is among as many drawn with replacement, (N_DRAWS, n_points)."""
    times: list[NDArray[np.intp]] = []
    while len(times) < N_DRAWS:
        found = np.bincount(rng.integers(n_points, size=n_points), minlength=n_points)
        if np.count_nonzero(found) >= MIN_BENT:
            times.append(found)
    return np.array(times)


def _variance(table: Array, n_test: float) -> Array:
    """Of the mean error at each count: repeats, test images, and the misfit of a power law."""
    mean = table.mean(axis=0)
    repeats = table.var(axis=0, ddof=1) / len(table) if len(table) > 1 else np.zeros_like(mean)
    held_out = np.maximum(mean * (1 - mean), 1 / n_test) / n_test
    return np.asarray(repeats + held_out + (MISFIT * mean) ** 2)


def _smooth_sd(table: Array, last: float) -> float:
    """Spread between repeats at the largest count; where all images are used there is none to see.

    Then that of the count before it, halved in variance as a count twice as large would.
    """
    if last > 0 or table.shape[1] < 2 or len(table) < 2:
        return last
    return float(table[:, -2].std(ddof=1) / np.sqrt(2))


def _fit(counts: Array, errors: Array, weight: Array) -> list[PowerLaw]:
    """Each curve, a row of errors and weights: for every exponent the best a and b, then the best exponent."""
    basis = counts[None] ** -EXPONENTS[:, None]
    total = weight.sum(axis=1, keepdims=True)
    mean_basis = weight @ basis.T / total
    mean_error = (errors * weight).sum(axis=1, keepdims=True) / total
    square = weight @ (basis**2).T
    product = (errors * weight) @ basis.T
    spread = square - total * mean_basis**2
    b = np.maximum((product - total * mean_error * mean_basis) / spread, 0.0)
    a = mean_error - b * mean_basis
    # Below zero: the best without a constant.
    b, a = np.where(a < 0, np.maximum(product / square, 0.0), b), np.maximum(a, 0.0)
    residual = errors[:, None] - a[:, :, None] - b[:, :, None] * basis
    best = np.einsum("dep,dp->de", residual**2, weight).argmin(axis=1)
    return [
        PowerLaw(a=float(a[i, k]), b=float(b[i, k]), c=float(EXPONENTS[k]))
        for i, k in enumerate(best)
    ]


def fit_piecewise(
    n: ArrayLike, errors: ArrayLike, weight: ArrayLike, *, floor: float
) -> list[PowerLaw]:
    """Least squares on the logarithms of errors, for every knot; then the best knot.

    Parameters
    ----------
    n : array-like of shape (n_points,)
        Images a class, ascending, four different ones or more.
    errors : array-like of shape (n_curves, n_points)
    weight : array-like of shape (n_curves, n_points)
        One over the variance of each error; 0 leaves a point out.
    floor : float above 0
        Errors below it count as so large: a logarithm cannot take 0.

    Returns
    -------
    list of PowerLaw, length n_curves
    """
    counts = np.asarray(n, dtype=np.float64)
    held = np.maximum(np.asarray(errors, dtype=np.float64), floor)
    # The variance of a logarithm is that of the error over its square.
    x, y, w = np.log(counts), np.log(held), np.asarray(weight) * held**2
    found, left = [], []
    for knot in counts[2:]:
        basis = np.stack([np.ones_like(x), -x, np.maximum(np.log(knot) - x, 0.0) ** 2], axis=1)
        solved = _least_squares(basis, y, w)
        flat = _least_squares(basis[:, [0, 2]], y, w)  # where the line would rise
        flat = np.insert(flat, 1, 0.0, axis=1)
        solved = np.where(solved[:, 1:2] < 0, flat, solved)
        found.append(solved)
        left.append((w * (y - solved @ basis.T) ** 2).sum(axis=1))
    best = np.argmin(np.round(left, 9), axis=0)
    return [
        PowerLaw(
            a=0.0,
            b=float(np.exp(found[k][i, 0])),
            c=float(found[k][i, 1]),
            bend=float(found[k][i, 2]),
            knot=float(counts[2 + k]),
        )
        for i, k in enumerate(best)
    ]


def _least_squares(basis: Array, y: Array, w: Array) -> Array:
    """Coefficients (n_curves, n_terms) of weighted least squares with one basis (n_points, n_terms)."""
    normal = np.einsum("pi,dp,pj->dij", basis, w, basis)
    size = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    normal = normal + 1e-10 * size * np.eye(basis.shape[1])
    return np.asarray(np.linalg.solve(normal, ((w * y) @ basis)[..., None])[..., 0])


def bends(counts: Array, table: Array, n_test: float) -> bool:
    """Whether a piecewise law is taken: a power law predicted no better what was held back.

    It is not where no count could be held back, nor where there are no errors.
    """
    floor, behind, is_checked = 0.5 / n_test, np.zeros(2), False
    if table.mean(axis=0).max() <= floor:
        return False
    for i, n in enumerate(counts):
        here = np.flatnonzero(counts <= CHECK_SHARE * n)
        if n < CHECK_FROM or len(here) < MIN_BENT:
            continue
        is_checked = True
        some, weight = table[:, here], 1 / _variance(table[:, here], n_test)
        [bent] = fit_piecewise(counts[here], some.mean(axis=0)[None], weight[None], floor=floor)
        straight = fit_power_law(counts[here], some.mean(axis=0), 1 / weight)
        measured = max(float(table[:, i].mean()), floor)
        for k, law in enumerate((bent, straight)):
            behind[k] += np.log(max(float(law.error(n)), floor) / measured) ** 2
    return is_checked and bool(behind[0] <= behind[1])


def _ends(values: Array, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
