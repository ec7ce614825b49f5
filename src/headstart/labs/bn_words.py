"""What the figures of `headstart.labs.batchnorm` say, in words that follow them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.heads import is_significant, significance
from headstart.wording import signed_points


def say_answer(found: dict[str, Any]) -> str:
    """The headline: which rates train, and what becomes of internal covariate shift."""
    top = {kind: _highest(found, kind) for kind in ("without", "with")}
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
    ratio = found["looks"][0]["measures"]["shift"]["ratio"]
    if ratio[0] is None:
        return f"{first}; internal covariate shift could not be compared."
    verb = {-1: "falls", 1: "rises", 0: "does not change significantly"}[_way(ratio)]
    return f"{first}; internal covariate shift {verb} ({_times(ratio)})."


def say_worth(found: dict[str, Any]) -> str:
    """What BatchNorm brings to validation accuracy."""
    return (
        "At the best rate of each, BatchNorm changes validation accuracy by "
        f"{_points(found['gain'])} points ({significance(found['gain'])})."
    )


def _highest(found: dict[str, Any], kind: str) -> float | None:
    """The highest rate at which every seed trains."""
    n_seeds = len(found["seeds"])
    kept = [c["rate"] for c in found["grid"][kind] if c["n_trained"] == n_seeds]
    return float(max(kept)) if kept else None


def say_shift(look: dict[str, Any]) -> str:
    """Does BatchNorm work by reducing internal covariate shift? In words, from the figures."""
    shift, relative = look["measures"]["shift"], look["measures"]["relative_shift"]
    if shift["ratio"][0] is None or relative["ratio"][0] is None:
        return "Internal covariate shift could not be compared, since a training diverged."
    size = f"{_times(shift['ratio'])} that without it"
    share = f"{_times(relative['ratio'])} in proportion to the gradients"
    way, relative_way = _way(shift["ratio"]), _way(relative["ratio"])
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
    rates = set(look["rates"].values())
    where = f"At a rate of {rates.pop():g}" if len(rates) == 1 else "At the best rate of each"
    return f"{where} {verdict}."


def say_cause(found: dict[str, Any]) -> str:
    """Whether BatchNorm still helps where noise after it brings the shift back.

    At the best rate of each, and in proportion to the gradients, since these differ most in size.
    """
    look = found["looks"][-1]
    ratio, gain = look["measures"]["relative_shift"]["noisy_ratio"], look["gain"]["noisy"]
    if ratio[0] is None:
        return "With noise after BatchNorm a training diverged, so the cause is not known."
    start = (
        "With noise after each BatchNorm the shift, in proportion, is "
        f"{_times(ratio)} that without BatchNorm"
    )
    if _way(ratio) <= 0:
        return f"{start}: not significantly more, so whether less shift is the cause stays open."
    top, plain = _highest(found, "noisy"), _highest(found, "without")
    points = f"{_points(gain)} points of validation accuracy"
    if top is not None and (plain is None or top > plain):
        return (
            f"{start}, yet it trains at rates up to {top:g} ({points} at the best rate of each): less "
            "shift is not what lets BatchNorm train at high rates."
        )
    if is_significant(gain) and (gain[0] or 0.0) > 0:
        return f"{start}, yet it gains {points}: less shift is not what makes BatchNorm work."
    return (
        f"{start}, and there is no significant gain ({points}): the shift may be the cause, or the "
        "noise itself does harm."
    )


def say_smoothness(measures: dict[str, Any]) -> str:
    """Whether the loss is smoother, by its variation and by the curvature met."""
    variation, beta = (measures[name]["ratio"] for name in ("variation", "beta"))
    said = (
        f"along the gradient it varies {_times(variation)} as much and curves {_times(beta)} as much "
        "as without BatchNorm"
    )
    ways = [_way(variation), _way(beta)]
    if max(ways) < 0:
        return f"The loss is smoother: {said}."
    if min(ways) >= 0:
        return f"That the loss is smoother did not appear: {said}."
    return f"Whether the loss is smoother depends on the measure: {said}."


def _way(ratio: Sequence[float | None]) -> int:
    """-1 smaller, 1 larger, 0 not significantly different (or not known)."""
    value = ratio[0]
    if value is None or not is_significant(ratio, null=1.0):
        return 0
    return -1 if value < 1 else 1


def _points(gain: Sequence[float | None]) -> str:
    value, low, high = gain
    unbounded = float("inf")
    return signed_points(
        value or 0.0, -unbounded if low is None else low, unbounded if high is None else high
    )


def _times(ratio: Sequence[float | None]) -> str:
    if ratio[0] is None:
        return "an unknown number of times"
    value, low, high = ("∞" if v is None else _plain(v) for v in ratio)
    return f"{value} [{low}, {high}] times"


def _plain(ratio: float) -> str:
    """Two digits, and no powers of ten where few seeds leave an interval wide open."""
    if ratio < 0.001:
        return "<0.001"
    return (
        f"{ratio:,.0f}"
        if 100 <= ratio < 10_000
        else ">10,000"
        if ratio >= 10_000
        else f"{ratio:.2g}"
    )
