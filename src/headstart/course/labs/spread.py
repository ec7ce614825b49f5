"""Figures measured with several seeds: their intervals, and how pages write them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from headstart import plots
from headstart.results import Interval
from headstart.runs.report import words

UNKNOWN = Interval(math.nan, -math.inf, math.inf)
"""What could not be measured, because a training diverged."""


def over_seeds(
    values: Sequence[float],
    level: float = 0.95,
    *,
    at_least: float = -math.inf,
    at_most: float = math.inf,
) -> Interval:
    """Mean over seeds with Student's interval.

    Raises ValueError where `values` is empty.

    Parameters
    ----------
    values : sequence of float, length n_seeds
        For a comparison, the differences seed by seed: both sides share what a seed draws.
    level : float in (0, 1)
    at_least, at_most : float, optional
        Range of the measure, to which the interval is clipped (a count is not negative).

    Returns
    -------
    Interval
        Unbounded for a single seed.
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
    """As `over_seeds`, for accuracies: clipped to [0, 1]."""
    return over_seeds(shares, at_least=0.0, at_most=1.0)


def ratio_over_seeds(above: Sequence[float], below: Sequence[float]) -> Interval:
    """Geometric mean of the ratios seed by seed, with its interval."""
    logs = over_seeds([math.log(a / b) for a, b in zip(above, below, strict=True)])
    return Interval(*(math.exp(min(v, 700.0)) for v in logs))


def differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """``a - b`` seed by seed."""
    return [x - y for x, y in zip(a, b, strict=True)]


def written(interval: Interval, form: str = ".3g", times: float = 1.0) -> str:
    """``94.2 [92.9, 95.6]``; an unknown end is an en dash."""
    value, low, high = (_number(v * times, form) for v in interval)
    return f"{value} [{low}, {high}]"


def percent(interval: Interval) -> str:
    """A share in % with one decimal."""
    return written(interval, ".1f", 100)


def whole(interval: Interval) -> str:
    """A count; with one decimal if all three numbers are small."""
    is_small = all(not math.isfinite(v) or abs(v) < 20 for v in interval)
    return written(interval, ",.1f" if is_small else ",.0f")


def line(
    label: str, x: Sequence[float], intervals: Iterable[Interval], *, times: float = 1.0
) -> plots.Line:
    """A line of values with intervals; unknown values leave gaps."""
    ends = [[v * times if math.isfinite(v) else math.nan for v in i] for i in intervals]
    value, low, high = zip(*ends, strict=True)
    return plots.Line(label=label, x=x, y=value, low=low, high=high)


def method(data: str, seeds: Sequence[int], text: str) -> str:
    """The first paragraph of a page: data, method and seeds."""
    return (
        f"Data: {data}. {text} {words.plural(len(seeds), 'seed')}; intervals are Student's 95 % "
        "over them."
    )


def _number(value: float, form: str) -> str:
    if not math.isfinite(value):
        return words.NOTHING
    if round(value, 12) == 0:
        value = 0.0
    text = f"{value:{form}}"
    if not any(c in "123456789" for c in text):
        text = text.lstrip("+-")
    # Thousands with a comma where the general format would switch to powers of ten.
    return (f"{value:,.0f}" if "e+" in text else text).replace("-", "−")
