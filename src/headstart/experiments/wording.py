"""Intervals and names as the words of a sentence."""

from __future__ import annotations

from headstart import wording
from headstart.heads import Interval


def percent(share: Interval) -> str:
    """``62.0 % [58.1, 65.7]``."""
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def points(difference: Interval) -> str:
    """``+1.2 [+0.5, +1.9] points``."""
    return f"{wording.signed_points(*triple(difference))} points"


def unsigned_points(loss: Interval) -> str:
    """``1.2 [0.5, 1.9] points``: where the words say what is lost."""
    return f"{wording.unsigned_points(*triple(loss))} points"


def triple(interval: Interval) -> list[float]:
    """Value, low and high: JSON-ready."""
    return [interval.value, interval.low, interval.high]
