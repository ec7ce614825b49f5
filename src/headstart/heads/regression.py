"""Numbers that are predicted: their errors, and intervals that hold the true one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart.heads.accuracy import accuracy_interval
from headstart.heads.resampling import bootstrap
from headstart.results import Estimate, Interval

Values = NDArray[np.float64]

# Share of the intervals of predictions that are to hold the true number.
LEVEL = 0.9


class NumberFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How far predictions are from the true numbers.

    Attributes
    ----------
    n : int
    r2 : Estimate
        Share of the variance that is explained; 0 of the mean of these examples, negative of what is
        worse.
    mae, rmse : Estimate
        Mean absolute error, and root of the mean squared error.
    trivial_r2, trivial_mae, trivial_rmse : float
        Of the mean of the training examples, predicted for all.
    level : float
        What the intervals of the predictions are meant to hold.
    half_width : float or None
        Half of their width; None where there were too few examples for the level.
    coverage : Interval or None
        Share of them that hold the true number.
    """

    n: int
    r2: Estimate
    mae: Estimate
    rmse: Estimate
    trivial_r2: float
    trivial_mae: float
    trivial_rmse: float
    level: float
    half_width: float | None
    coverage: Interval | None


def conformal_half_width(residuals: NDArray[np.floating], level: float = LEVEL) -> float:
    """Half of the width of an interval that holds a new number with probability `level`.

    Split-conformal prediction (Lei et al. 2018, "Distribution-free predictive inference for
    regression") with out-of-fold residuals in place of those of a part that is set aside, as in
    cross-conformal prediction (Vovk 2015); this holds approximately, as each residual is of a model
    of fewer examples.

    Parameters
    ----------
    residuals : array (n,)
        Of examples that were held out.
    level : float in (0, 1), default 0.9

    Returns
    -------
    float
        Infinite where there are too few examples for the level.
    """
    rank = math.ceil((len(residuals) + 1) * level)
    if rank > len(residuals):
        return math.inf
    return float(np.sort(np.abs(residuals))[rank - 1])


def number_figures(
    y: Values,
    predicted: Values,
    *,
    mean: float,
    half_width: float | None,
    groups: Sequence[str] | None = None,
) -> NumberFigures:
    """Figures with 95 % bootstrap intervals.

    Parameters
    ----------
    y, predicted : float array (n,)
    mean : float
        Of the training examples.
    half_width : float, optional
        Half of the width of the predictions' intervals, if they have some.
    groups : sequence of str, length n, optional
        Examples that are not independent of one another.
    """
    error = y - predicted

    def figures(w: Values) -> Values:
        total = w.sum(axis=1)
        center = (w @ y) / total
        variance = (w @ y**2) / total - center**2
        squared = (w @ error**2) / total
        spread = variance > 1e-12 * max(float(np.square(y).max()), 1e-300)
        r2 = 1 - np.divide(squared, variance, out=np.full(len(w), np.nan), where=spread)
        return np.stack([r2, (w @ np.abs(error)) / total, np.sqrt(squared)], axis=1)

    values, (low, high) = bootstrap(figures, len(y), groups)
    r2, mae, rmse = (
        Estimate(*map(float, t)) if not np.isnan(t).any() else Estimate(0.0, -math.inf, 1.0)
        for t in np.stack([values, low, high], axis=1)
    )
    off = y - mean
    variance = float(y.var())
    coverage = None
    if half_width is not None:
        coverage = accuracy_interval(np.abs(error) <= half_width, groups=groups)
    return NumberFigures(
        n=len(y),
        r2=r2,
        mae=mae,
        rmse=rmse,
        trivial_r2=float(1 - np.mean(off**2) / variance) if variance > 0 else 0.0,
        trivial_mae=float(np.abs(off).mean()),
        trivial_rmse=float(np.sqrt(np.mean(off**2))),
        level=LEVEL,
        half_width=half_width,
        coverage=coverage,
    )


def squared_merits(y: Values, predicted: NDArray[np.floating]) -> Values:
    """The merit of each example for R2 (n,), as of `heads.criterion`; the mean of all is that."""
    variance, error = y.var(), (y - predicted) ** 2
    lost = error.mean() / variance
    return np.asarray(1 - lost - error / variance + lost * (y - y.mean()) ** 2 / variance)
