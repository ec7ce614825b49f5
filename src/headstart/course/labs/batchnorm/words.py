"""Sentences about the figures of ``lab batchnorm``."""

from __future__ import annotations

import math

from headstart.course.labs.batchnorm.result import BatchnormResult, Comparison, Look
from headstart.heads import is_significant, significance
from headstart.results import Interval


def say_answer(found: BatchnormResult) -> str:
    """The headline: which rates train, and whether internal covariate shift falls."""
    top = {kind: found.highest(kind) for kind in ("without", "with")}
    if top["with"] is None or top["without"] is None:
        missing = [kind for kind in top if top[kind] is None]
        first = f"No rate of the grid trains the network {' or '.join(missing)} BatchNorm"
    elif top["with"] > top["without"]:
        first = (
            f"With BatchNorm the network trains at rates up to {top['with']:g}, without up to "
            f"{top['without']:g}"
        )
    else:
        first = (
            f"BatchNorm allows no higher rate ({top['with']:g} with, {top['without']:g} without)"
        )
    ratio = found.looks[0].measures["shift"].ratio
    if math.isnan(ratio.value):
        return f"{first}; internal covariate shift could not be compared."
    verb = {-1: "falls", 1: "rises", 0: "does not change significantly"}[_way(ratio)]
    return f"{first}; internal covariate shift {verb} ({_times(ratio)})."


def say_worth(found: BatchnormResult) -> str:
    """How BatchNorm changes validation accuracy."""
    return (
        "At the best rate of each, BatchNorm changes validation accuracy by "
        f"{found.gain} points ({significance(found.gain)})."
    )


def say_shift(look: Look) -> str:
    """How internal covariate shift changes with BatchNorm."""
    shift, relative = look.measures["shift"].ratio, look.measures["relative_shift"].ratio
    if math.isnan(shift.value) or math.isnan(relative.value):
        return "Internal covariate shift could not be compared, since a training diverged."
    size = f"{_times(shift)} that without it"
    share = f"{_times(relative)} in proportion to the gradients"
    way, relative_way = _way(shift), _way(relative)
    if way < 0 and relative_way < 0:
        verdict = f"internal covariate shift falls with BatchNorm, to {size} ({share})"
    elif way < 0:
        verdict = (
            f"internal covariate shift falls with BatchNorm, to {size}, but only as the gradients "
            f"themselves do ({share})"
        )
    elif way > 0:
        verdict = (
            f"internal covariate shift does not fall with BatchNorm but rises, to {size} ({share})"
        )
    else:
        verdict = (
            "internal covariate shift does not change significantly with BatchNorm: it is "
            f"{size} ({share})"
        )
    rates = set(look.rates.values())
    where = f"At a rate of {rates.pop():g}" if len(rates) == 1 else "At the best rate of each"
    return f"{where} {verdict}."


def say_cause(found: BatchnormResult) -> str:
    """Whether BatchNorm still helps when noise after it brings the shift back.

    At the best rate of each, and relative to the gradients, which differ in size.
    """
    look = found.looks[-1]
    ratio, gain = look.measures["relative_shift"].noisy_ratio, look.gain["noisy"]
    if math.isnan(ratio.value):
        return "With noise after BatchNorm a training diverged, so the cause is not known."
    start = (
        "With noise after each BatchNorm the shift, in proportion, is "
        f"{_times(ratio)} that without BatchNorm"
    )
    if _way(ratio) <= 0:
        return f"{start}: not significantly more, so whether less shift is the cause stays open."
    top, plain = found.highest("noisy"), found.highest("without")
    points = f"{gain} points of validation accuracy"
    if top is not None and (plain is None or top > plain):
        return (
            f"{start}, yet it trains at rates up to {top:g} ({points} at the best rate of each): less "
            "shift is not what lets BatchNorm train at high rates."
        )
    if is_significant(gain) and gain.value > 0:
        return f"{start}, yet it gains {points}: less shift is not what makes BatchNorm work."
    return (
        f"{start}, and there is no significant gain ({points}): the shift may be the cause, or the "
        "noise itself does harm."
    )


def say_smoothness(measures: dict[str, Comparison]) -> str:
    """Whether the loss is smoother, by its variation and by its largest curvature."""
    variation, beta = (measures[name].ratio for name in ("variation", "beta"))
    said = (
        f"along the gradient it varies {_times(variation)} as much and curves {_times(beta)} as much "
        "as without BatchNorm"
    )
    ways = [_way(variation), _way(beta)]
    if max(ways) < 0:
        return f"The loss is smoother: {said}."
    if min(ways) >= 0:
        return f"The loss is not shown to be smoother: {said}."
    return f"Whether the loss is smoother depends on the measure: {said}."


def _way(ratio: Interval) -> int:
    """-1 smaller, 1 larger, 0 not significantly different or unknown."""
    if not is_significant(ratio, null=1.0):
        return 0
    return -1 if ratio.value < 1 else 1


def _times(ratio: Interval) -> str:
    if math.isnan(ratio.value):
        return "an unknown number of times"
    value, low, high = map(_plain, ratio)
    return f"{value} [{low}, {high}] times"


def _plain(ratio: float) -> str:
    """Two digits, and no powers of ten where few seeds leave an interval wide."""
    if math.isinf(ratio):
        return "∞" if ratio > 0 else "−∞"
    if ratio < 0.001:
        return "<0.001"
    if ratio >= 10_000:
        return ">10,000"
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2g}"
