"""Intervals and names as the words of a sentence."""

from __future__ import annotations

from headstart.heads import Interval
from headstart.transfer.comparison import signed_points


def percent(share: Interval) -> str:
    """``62.0 % [58.1, 65.7]``."""
    return f"{100 * share.value:.1f} % {_ends(share)}"


def points(difference: Interval) -> str:
    """``+1.2 [+0.5, +1.9] points``."""
    return f"{signed_points(difference.value, difference.low, difference.high)} points"


def unsigned_points(loss: Interval) -> str:
    """``1.2 [0.5, 1.9] points``: where the words say what is lost."""
    return f"{_tenths(loss.value)} {_ends(loss)} points"


def triple(interval: Interval) -> list[float]:
    """Value, low and high: JSON-ready."""
    return [interval.value, interval.low, interval.high]


def _ends(interval: Interval) -> str:
    return f"[{_tenths(interval.low)}, {_tenths(interval.high)}]"


def _tenths(share: float) -> str:
    """In hundredths with one decimal; never a negative nought."""
    return f"{round(100 * share, 1) + 0.0:.1f}"
