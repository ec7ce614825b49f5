"""How error falls with the number of images: a power law fitted to a learning curve, with intervals.

``error(n) = a + b n^-c`` describes test errors of many learners over several orders of magnitude
(Hestness et al. 2017, "Deep learning scaling is predictable, empirically"; Rosenfeld et al. 2020).
Extrapolation is uncertain above all because `a`, what no amount of images removes, shows late: the
interval comes from refitting with resampled repeats and points.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerLaw:
    """``error(n) = a + b n^-c`` with ``a, b >= 0``."""

    a: float
    b: float
    c: float

    def error(self, n: ArrayLike) -> Array:
        """Share of images not recognised with `n` training images a class, at most 1."""
        counts = np.asarray(n, dtype=np.float64)
        return np.minimum(self.a + self.b * counts**-self.c, 1.0)


@dataclass(frozen=True, kw_only=True)
class CurveFit:
    """A power law with what it might have been.

    Attributes
    ----------
    law : PowerLaw
        Fitted to the mean of all repeats.
    draws : tuple of PowerLaw
        Fitted to repeats and points drawn with replacement.
    repeat_sd : float
        Standard deviation of the error between repeats at the largest count.
    largest : float
        The largest count fitted to.
    n_test : int
        Images on which errors were measured.
    """

    law: PowerLaw
    draws: tuple[PowerLaw, ...]
    repeat_sd: float
    largest: float
    n_test: int

    def errors(self, n: float, *, seed: int = 0) -> Array:
        """Errors that a measurement with `n` images a class might show, (N_DRAWS,).

        The draws, each with the noise of the choice of training images, of that of test images,
        and the misfit that a power law may have.
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
        """Accuracy expected with `n` images a class, and the interval of a measurement."""
        low, high = _ends(1 - self.errors(n), level)
        value = 1 - float(self.law.error(n))
        return Interval(value, min(low, value), max(high, value))

    def gain(self, n: float, more: float, level: float = 0.95) -> Difference:
        """What `more` images a class besides `n` bring, with its interval.

        That of the law itself: the noise of a measurement is left out, for both ends share it.
        """
        value = float(self.law.error(n) - self.law.error(n + more))
        drawn = np.array([float(law.error(n) - law.error(n + more)) for law in self.draws])
        low, high = _ends(drawn, level)
        return Difference(value, min(low, value), max(high, value))


def fit_power_law(n: ArrayLike, error: ArrayLike, variance: ArrayLike) -> PowerLaw:
    """Least squares, weighted by one over the variance.

    Parameters
    ----------
    n : array-like of shape (n_points,)
        Images a class, above 0.
    error : array-like of shape (n_points,)
    variance : array-like of shape (n_points,)
        Of each error, above 0.

    Returns
    -------
    PowerLaw

    Raises
    ------
    ValueError
        There are fewer than three different counts.
    """
    counts, errors = np.asarray(n, dtype=np.float64), np.asarray(error, dtype=np.float64)
    weight = 1 / np.asarray(variance, dtype=np.float64)
    if np.unique(counts).size < MIN_POINTS:
        raise ValueError(
            f"a power law needs {MIN_POINTS} different numbers of images; got {counts.tolist()}"
        )
    return _fit(counts, errors[None], weight)[0]


def fit_curve(n: Sequence[float], errors: ArrayLike, n_test: int, *, seed: int = 0) -> CurveFit:
    """Fit a power law to repeated learning curves, and draw what it might have been.

    Parameters
    ----------
    n : sequence of float, length n_points
        Images a class.
    errors : array-like of shape (n_repeats, n_points)
        Share not recognised, of nested subsets within a repeat.
    n_test : int
        Images on which they were measured.
    seed : int, default 0
        Of the draws.

    Returns
    -------
    CurveFit

    Raises
    ------
    ValueError
        There are fewer than three different counts.
    """
    counts, table = np.asarray(n, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    n_repeats, n_points = table.shape
    variance = _variance(table, n_test)
    law = fit_power_law(counts, table.mean(axis=0), variance)
    rng = np.random.default_rng(seed)
    draws: list[PowerLaw] = []
    while len(draws) < N_DRAWS:
        points = rng.integers(n_points, size=n_points)
        if np.unique(points).size < MIN_POINTS:
            continue
        curve = table[rng.integers(n_repeats, size=n_repeats)].mean(axis=0)
        draws += _fit(counts[points], curve[None, points], 1 / variance[points])
    spread = table[:, -1].std(ddof=1) if n_repeats > 1 else 0.0
    return CurveFit(
        law=law, draws=tuple(draws), repeat_sd=_smooth_sd(table, float(spread)),
        largest=float(counts[-1]), n_test=n_test,
    )  # fmt: skip


def _variance(table: Array, n_test: int) -> Array:
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
    """Each curve (a row of errors): for every exponent the best a and b, then the best exponent."""
    basis = counts[None] ** -EXPONENTS[:, None]
    total = weight.sum()
    mean_basis = basis @ weight / total
    mean_error = errors @ weight / total
    centred = basis - mean_basis[:, None]
    spread = (centred**2) @ weight
    b = np.maximum((errors * weight) @ centred.T / spread, 0.0)
    a = mean_error[:, None] - b * mean_basis
    # Below zero: the best without a constant.
    b_alone = np.maximum((errors * weight) @ basis.T / ((basis**2) @ weight), 0.0)
    b, a = np.where(a < 0, b_alone, b), np.maximum(a, 0.0)
    residual = errors[:, None] - a[:, :, None] - b[:, :, None] * basis
    best = ((residual**2) @ weight).argmin(axis=1)
    return [
        PowerLaw(a=float(a[i, k]), b=float(b[i, k]), c=float(EXPONENTS[k]))
        for i, k in enumerate(best)
    ]


def _ends(values: Array, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
