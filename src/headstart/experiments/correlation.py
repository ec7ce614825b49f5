"""Whether two orders agree: rank correlation of a few candidates, and how little that may mean."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

# With fewer, even the same order twice comes up by chance more often than once in 20: the
# two-sided probability is 2 / n!, which is 1/12 for 4 and 1/60 for 5.
MIN_CANDIDATES = 5
N_RESAMPLES = 1000


class RankCorrelation(Struct, frozen=True, kw_only=True):
    """Agreement of two orders of the same candidates."""

    # Kendall's tau-b, from -1 to 1; None with fewer than three candidates or where all are equal
    kendall: float | None
    # Spearman's rho, from -1 to 1; None with fewer than three candidates or where all are equal
    spearman: float | None
    p_value: float | None  # two-sided, of Kendall's tau: how often chance alone agrees as much
    n: int  # candidates
    # whether there are enough candidates, chance would hardly agree as much, and the interval does
    # not contain zero
    is_significant: bool = False
    # lower end of the 95 % interval of Kendall's tau, by resampling the candidates (percentile
    # bootstrap); None with fewer than five
    low: float | None = None
    # upper end of the 95 % interval of Kendall's tau; None with fewer than five candidates
    high: float | None = None


def rank_correlation(a: ArrayLike, b: ArrayLike) -> RankCorrelation:
    """Kendall's tau-b and Spearman's rho of two rows of numbers.

    Parameters
    ----------
    a, b : array-like of shape (n,), float
        Finite.
    """
    from scipy import stats

    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    n = len(first)
    if n < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return RankCorrelation(kendall=None, spearman=None, p_value=None, n=n)
    tau = stats.kendalltau(first, second)
    rho = stats.spearmanr(first, second)
    low = high = None
    if n >= MIN_CANDIDATES:
        low, high = _interval(first, second)
    return RankCorrelation(
        kendall=float(tau.statistic),
        spearman=float(rho.statistic),
        p_value=float(tau.pvalue),
        n=n,
        is_significant=float(tau.pvalue) < 0.05 and _excludes_zero(low, high),
        low=low,
        high=high,
    )


def _excludes_zero(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low * high > 0


def _interval(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """Percentile bootstrap of tau-b over the candidates; resamples without an order are left out."""
    n = len(a)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), N_RESAMPLES)
    first, second = (np.sign(values[:, None] - values) for values in (a, b))

    def pairs(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = ((counts @ weights) * counts).sum(axis=1)
        return found

    ordered = np.sqrt(pairs(np.abs(first)) * pairs(np.abs(second)))
    tau = pairs(first * second)[ordered > 0] / ordered[ordered > 0]
    low, high = np.quantile(tau, [0.025, 0.975])
    return float(low), float(high)


def too_few(n: int) -> str:
    """Why a correlation over `n` candidates means little, as a sentence; empty where it may."""
    if n >= MIN_CANDIDATES:
        return ""
    if n < 3:
        return (
            f"{n} {'candidate is' if n == 1 else 'candidates are'} too few for a rank correlation."
        )
    chance = math.factorial(n) // 2
    return (
        f"With {n} candidates a rank correlation means little: chance alone puts them in perfectly "
        f"agreeing or opposite order once in {chance}."
    )
