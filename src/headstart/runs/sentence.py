"""The sentence that matters: what was chosen, how good it is, and against what."""

from __future__ import annotations

from headstart.heads.accuracy import Interval


def percent(value: float, *, digits: int = 1) -> str:
    """``0.9312`` as ``93.1 %``."""
    return f"{100 * value:.{digits}f} %"


def with_interval(interval: Interval) -> str:
    """``93.1 % [92.2, 94.0]``."""
    return f"{percent(interval.value)} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def rough_time(seconds: float) -> str:
    """``40 s``, ``8 min`` or ``2.5 h``: as exact as an estimate is."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5940 else f"{seconds / 3600:.1f} h"


def sentence(
    *,
    chosen: str,
    accuracy: Interval,
    where: str,
    baseline: str | None,
    difference: Interval | None,
    usual: str = "",
) -> str:
    """The answer in one sentence.

    Parameters
    ----------
    chosen : str
        What was chosen: ``"Layer blocks.6 at 320 px"``.
    accuracy : Interval
        Its accuracy.
    where : str
        What it was measured on: ``"2,985 test images"``.
    baseline : str, optional
        What it is compared with: ``"the last layer at 224 px"``; None if that is itself.
    difference : Interval, optional
        Accuracy of the choice minus that of the baseline, paired, on the same images.
    """
    said = f"{chosen}: {with_interval(accuracy)} on {where}"
    if baseline is None or difference is None:
        return f"{said}; it is {usual}."
    points = f"{100 * abs(difference.value):.1f} points"
    if abs(difference.value) < 0.0005:
        return f"{said}; {baseline} does as well."
    side = "behind" if difference.value > 0 else "ahead"
    noise = difference.low <= 0 <= difference.high
    return f"{said}; {baseline} is {points} {side}, {'within' if noise else 'beyond'} the noise."
