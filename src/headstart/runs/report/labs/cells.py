"""Values with their intervals as the cells and lines of these pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from headstart import plots
from headstart.runs.report import words
from headstart.wording import points

Three = Sequence[float | None]


def interval(three: Three, form: str = ".3g", times: float = 1.0) -> str:
    """``94.2 [92.9, 95.6]``; an end that is not known is an en dash."""
    value, low, high = (_number(v, form, times) for v in three)
    return f"{value} [{low}, {high}]"


def percent(three: Three) -> str:
    """A share with its interval, in % with one decimal."""
    return interval(three, ".1f", 100)


def signed_points(three: Three) -> str:
    """A difference of shares with its interval, in points."""
    value, low, high = (words.NOTHING if v is None else points(v) for v in three)
    return f"{value} [{low}, {high}]"


def whole(three: Three) -> str:
    """A count with its interval; one decimal where all are small."""
    is_small = all(v is None or abs(v) < 20 for v in three)
    return interval(three, ",.1f" if is_small else ",.0f")


def line(
    label: str, x: Sequence[float], threes: Iterable[Three], *, times: float = 1.0, **looks: bool
) -> plots.Line:
    """A line of values with intervals; what is not known is left out."""
    columns = list(
        zip(*([math.nan if v is None else v * times for v in t] for t in threes), strict=True)
    )
    value, low, high = columns
    return plots.Line(label=label, x=x, y=value, low=low, high=high, **looks)


def method(found: object, *parts: str) -> str:
    """What stands under the first heading: data, seeds and how, as one paragraph."""
    assert isinstance(found, dict)
    seeds = words.plural(len(found["seeds"]), "seed")
    return (
        f"Data: {found['data']}. {' '.join(parts)} {seeds}; intervals are Student's 95 % over them."
    )


def _number(value: float | None, form: str, times: float) -> str:
    if value is None or not math.isfinite(value):
        return words.NOTHING
    scaled = value * times
    if round(scaled, 12) == 0:
        scaled = 0.0
    text = f"{scaled:{form}}"
    if not any(c in "123456789" for c in text):
        text = text.lstrip("+-")
    # Thousands by comma, where the general form would turn to powers of ten.
    return (f"{scaled:,.0f}" if "e+" in text else text).replace("-", "−")
