"""The sentence that matters: what was chosen, how good it is, and against what."""

from __future__ import annotations

from headstart.heads.accuracy import PairedDifference, significance, unseen_difference
from headstart.results import Estimate, Interval
from headstart.wording import counted, headline, points, unsigned_points


def percent(value: float, *, digits: int = 1) -> str:
    """``0.9312`` as ``93.1 %``."""
    return f"{100 * value:.{digits}f} %"


def with_interval(interval: Interval) -> str:
    """``93.1 % [92.2, 94.0]``."""
    return f"{percent(interval.value)} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def sentence(
    *,
    chosen: str,
    accuracy: Interval,
    where: str,
    baseline: str | None,
    difference: Interval | None,
    n: int = 0,
    short: str | None = None,
    usual: str = "",
    lead: tuple[str, Interval] | None = None,
) -> str:
    """The answer as a headline of at most 25 words.

    Parameters
    ----------
    chosen : str
        What was chosen: ``"Layer blocks.6 at 320 px"``.
    accuracy : Interval
        Its accuracy.
    where : str
        What it was measured on: ``"2,985 test images"``.
    baseline : str, optional
        What it is compared with: ``"the usual layer, conv_head at 224 px,"``; None if that is
        itself.
    difference : Interval, optional
        Accuracy of the choice minus that of the baseline, paired, on the same images.
    n : int
        How many these are.
    short : str, optional
        A shorter name of the baseline: ``"the usual layer, conv_head,"``.
    usual : str
        What the choice is where it is the baseline: ``"the usual layer"``.
    lead : tuple of str and Interval, optional
        Name and value of the metric that leads instead of accuracy: that which was optimised, or
        balanced accuracy where the classes are uneven.
    """
    said = f"{chosen}: {with_interval(accuracy)} on {where}"
    shortest = f"{said}."
    if lead is not None:
        value = str(lead[1]) if isinstance(lead[1], Estimate) else with_interval(lead[1])
        first = f"{chosen}: {lead[0]} {value}"
        said = f"{first}, accuracy {with_interval(accuracy)} on {where}"
        shortest = f"{first} on {where}."
    if baseline is None or difference is None:
        return headline(f"{said}; it is {usual}.", f"{said}.", shortest)
    of = "" if lead is None else " in accuracy"
    tails = [_compared(name, difference, n, of) for name in (baseline, short) if name]
    return headline(*(f"{said}; {tail}." for tail in tails), f"{said}.", shortest)


def detail(
    baseline: str,
    difference: PairedDifference,
    n: int,
    *,
    examples: str = "",
    of: str = "",
    test: str = "McNemar's exact test",
) -> str:
    """The comparison with the baseline in full: the paired difference, its interval and the test.

    `n`: on how many examples. `examples`: these in words, ``"15 test images"``. `of`: of what, where the sentence begins with something else:
    ``" in accuracy"``. `test`: the test of the difference (:func:`headstart.heads.paired_test`).
    """
    name = f"{baseline[:1].upper()}{baseline[1:]}"
    least, few = unseen_difference(difference, n), ""
    if least is not None:
        shown = (
            f"only differences of about {100 * least:.0f} points or more"
            if least < 1
            else "no difference"
        )
        few = f"With {examples or counted(n, 'example')} {shown} would show."
    if points(difference.value) == "0.0" and few:
        return few
    if points(difference.value) == "0.0":
        between = "is as accurate"
        ends = f" (95 % interval [{points(difference.low)}, {points(difference.high)}] points)"
    else:
        side = "lower" if difference.value > 0 else "higher"
        low, high = sorted((difference.low, difference.high))
        if difference.value < 0:
            low, high = -high, -low
        value = unsigned_points(abs(difference.value), low, high)
        between, ends = f"is {value} points {side}{of}", ""
    p_value = "p < 0.001" if difference.p_value < 0.001 else f"p = {difference.p_value:.3f}"
    return (
        f"{name} {between} on the same examples{ends}: {significance(difference)} by {test} "
        f"({p_value}).{few and f' {few}'}"
    )


def _compared(baseline: str, difference: Interval, n: int, of: str) -> str:
    """``the usual layer, conv_head, is 5.0 points lower (not significant)``."""
    if points(difference.value) == "0.0":
        if unseen_difference(difference, n) is not None:
            return f"too few to tell it from {baseline.rstrip(',')}"
        return f"{baseline} is as accurate"
    side = "lower" if difference.value > 0 else "higher"
    by = points(abs(difference.value), sign=False)
    return f"{baseline} is {by} points {side}{of} ({significance(difference)})"
