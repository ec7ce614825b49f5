"""Whether two orders agree: rank correlation of a few candidates, and how little that may mean."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

# With fewer, even the same order twice comes up by chance more often than once in 20: the
# two-sided probability is 2 / n!, which is 1/12 for 4 and 1/60 for 5.
MIN_CANDIDATES = 5


class RankCorrelation(Struct, frozen=True, kw_only=True):
    """Agreement of two orders of the same candidates.

    Attributes
    ----------
    kendall, spearman : float or None
        Tau-b and rho, from -1 to 1; None with fewer than three candidates or where all are equal.
    p_value : float or None
        Two-sided, of Kendall's tau: how often chance alone agrees as much.
    n : int
        Candidates.
    is_significant : bool
        Whether there are enough candidates, and chance would hardly agree as much.
    """

    kendall: float | None
    spearman: float | None
    p_value: float | None
    n: int
    is_significant: bool = False


def rank_correlation(a: ArrayLike, b: ArrayLike) -> RankCorrelation:
    """Kendall's tau-b and Spearman's rho of two rows of numbers.

    Parameters
    ----------
    a, b : array-like of shape (n,), float
        Finite.

    Returns
    -------
    RankCorrelation
    """
    from scipy import stats

    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    n = len(first)
    if n < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return RankCorrelation(kendall=None, spearman=None, p_value=None, n=n)
    tau = stats.kendalltau(first, second)
    rho = stats.spearmanr(first, second)
    return RankCorrelation(
        kendall=float(tau.statistic),
        spearman=float(rho.statistic),
        p_value=float(tau.pvalue),
        n=n,
        is_significant=n >= MIN_CANDIDATES and float(tau.pvalue) < 0.05,
    )


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
