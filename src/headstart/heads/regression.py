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
    """How far predictions are from the true numbers."""

    n: int
    # Share of the variance that is explained; 0 of the mean of these examples, negative of what is
    # worse. None where the numbers are all the same, as of one example.
    r2: Estimate | None
    mae: Estimate  # mean absolute error
    rmse: Estimate  # root mean squared error
    trivial_r2: float | None  # R² of predicting the mean of the training examples for all
    # mean absolute error of predicting the mean of the training examples for all
    trivial_mae: float
    # root mean squared error of predicting the mean of the training examples for all
    trivial_rmse: float
    level: float  # what the intervals of the predictions are meant to hold
    # half of their width; None where there were too few examples, or groups, for the level
    half_width: float | None
    coverage: Interval | None  # share of them that hold the true number


def conformal_half_width(
    residuals: NDArray[np.floating], level: float = LEVEL, groups: Sequence[str] | None = None
) -> float:
    """Half of the width of an interval that holds a new number with probability `level`.

    Split-conformal prediction (Lei et al. 2018, "Distribution-free predictive inference for
    regression") with out-of-fold residuals in place of those of a part that is set aside, as in
    cross-conformal prediction (Vovk 2015); this holds approximately, as each residual is of a model
    of fewer examples. With groups, what is new is an example of a new group, and each group counts as
    one (Lee, Barber and Willett 2023, "Distribution-free inference with hierarchical data").

    Parameters
    ----------
    residuals : array (n,)
        Of examples that were held out.
    level : float in (0, 1), default 0.9
    groups : sequence of str, length n, optional
        Examples that are not independent of one another.

    Returns
    -------
    float
        Infinite where there are too few examples, or groups, for the level.

    Examples
    --------
    >>> import numpy as np
    >>> conformal_half_width(np.arange(1.0, 20.0)), conformal_half_width(np.arange(8.0))
    (18.0, inf)
    """
    unit = np.arange(len(residuals))
    if groups is not None:
        unit = np.unique(groups, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(unit)
    order = np.argsort(np.abs(residuals), kind="stable")
    # How many groups lie within each residual, of a group a part.
    within = np.cumsum(1 / sizes[unit[order]])
    reached = np.flatnonzero(within >= (len(sizes) + 1) * level - 1e-9)
    return float(np.abs(residuals)[order[reached[0]]]) if len(reached) else math.inf


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
    error, is_varied = y - predicted, bool(np.ptp(y) > 0)
    centered = y - y.mean()

    def figures(w: Values) -> Values:
        total = w.sum(axis=1)
        variance = (w @ centered**2) / total - ((w @ centered) / total) ** 2
        squared = (w @ error**2) / total
        spread = is_varied & (variance > 1e-12 * np.square(centered).max())
        r2 = 1 - np.divide(squared, variance, out=np.full(len(w), np.nan), where=spread)
        return np.stack([r2, (w @ np.abs(error)) / total, np.sqrt(squared)], axis=1)

    values, (low, high) = bootstrap(figures, len(y), groups)
    low[1:], high[0] = np.fmax(low[1:], 0), np.fmin(high[0], 1)
    r2, mae, rmse = (Estimate(*map(float, t)) for t in np.stack([values, low, high], axis=1))
    off = y - mean
    coverage = None
    if half_width is not None:
        coverage = accuracy_interval(np.abs(error) <= half_width, groups=groups)
    return NumberFigures(
        n=len(y),
        r2=r2 if is_varied else None,
        mae=mae,
        rmse=rmse,
        trivial_r2=float(1 - np.mean(off**2) / y.var()) if is_varied else None,
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
