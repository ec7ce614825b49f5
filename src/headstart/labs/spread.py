"""A figure measured with several seeds, with the interval that they allow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from headstart.heads import Interval


def over_seeds(
    values: Sequence[float],
    level: float = 0.95,
    *,
    at_least: float = -math.inf,
    at_most: float = math.inf,
) -> Interval:
    """Mean over seeds, with Student's interval for it.

    Parameters
    ----------
    values : sequence of float, length n_seeds
        For a comparison, the differences seed by seed: seeds share what is drawn.
    level : float in (0, 1)
    at_least, at_most : float, optional
        Bounds of what is measured (a count of steps is not negative): the ends stay inside.

    Returns
    -------
    Interval
        Of no width where all values are the same; unbounded for a single seed.

    Raises
    ------
    ValueError
        No values.
    """
    array = np.asarray(values, dtype=float)
    if array.size == 0:
        raise ValueError("an interval over seeds needs at least one value")
    mean = float(array.mean())
    if array.size == 1:
        return Interval(mean, -math.inf, math.inf)
    error = float(array.std(ddof=1)) / math.sqrt(array.size)
    half = float(stats.t.ppf(0.5 + level / 2, array.size - 1)) * error
    return Interval(mean, max(mean - half, at_least), min(mean + half, at_most))


def share_over_seeds(shares: Sequence[float]) -> Interval:
    """As `over_seeds` for accuracies: the ends stay in [0, 1]."""
    return over_seeds(shares, at_least=0.0, at_most=1.0)


def ratio_over_seeds(above: Sequence[float], below: Sequence[float]) -> Interval:
    """How many times as large, seed by seed: the geometric mean with its interval.

    Parameters
    ----------
    above, below : sequences of float above zero, length n_seeds
    """
    logs = over_seeds([math.log(a / b) for a, b in zip(above, below, strict=True)])
    return Interval(*(_exp(v) for v in (logs.value, logs.low, logs.high)))


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """``a - b`` seed by seed."""
    return [x - y for x, y in zip(a, b, strict=True)]


def triple(interval: Interval) -> list[float | None]:
    """``[value, low, high]`` for JSON; what is not a finite number becomes None."""
    ends = (interval.value, interval.low, interval.high)
    return [v if math.isfinite(v) else None for v in ends]


def written(interval: Interval | Sequence[float | None], form: str = ".1f", unit: str = "") -> str:
    """``6.1 [5.2, 7.0] points``."""
    three = triple(interval) if isinstance(interval, Interval) else list(interval)
    value, low, high = ("∞" if v is None else f"{v:{form}}".replace("-", "−") for v in three)
    return f"{value} [{low}, {high}]{f' {unit}' if unit else ''}"
