"""Axes: scales from values to pixels, ticks, grid lines and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from headstart.plots import svg

Ticks = Sequence[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear or logarithmic scale: ``low`` is drawn at ``start`` px, ``high`` at ``end`` px."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """The position of a value in px."""
        low, high, v = (math.log10(t) if self.is_log else t for t in (self.low, self.high, value))
        return self.start + (v - low) / ((high - low) or 1.0) * (self.end - self.start)

    def ticks(self, n: int = 5) -> list[tuple[float, str]]:
        """At most about `n` round values with their labels; 1, 2, 5, 10 ... on a logarithmic scale."""
        if self.is_log:
            return [(v, f"{v:g}") for v in log_ticks(self.low, self.high)]
        values = svg.ticks(self.low, self.high, n=n)
        return list(zip(values, svg.tick_labels(values), strict=True))


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten in the range; only powers if there are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1,)):
        values = [m * 10.0**k for k in powers for m in steps]
        values = [v for v in values if low * 0.999 <= v <= high * 1.001]
        if len(values) <= 10:
            break
    # A narrow range has none or one of them.
    return values if len(values) > 1 else svg.ticks(low, high, n=5)


def y_grid(scale: Scale, left: float, right: float, *, n: int = 5) -> list[str]:
    """Horizontal grid lines with labels on the left."""
    parts = []
    for value, label in scale.ticks(n):
        y = scale(value)
        parts.append(svg.element("line", x1=left, x2=right, y1=y, y2=y, class_="line"))
        parts.append(svg.text(label, left - 6, y + 4, class_="muted small", anchor="end"))
    return parts


def x_labels(
    scale: Scale, ticks: Ticks, bottom: float, axis: str, *, edge: float = math.inf
) -> list[str]:
    """Ticks below the figure and the title of the axis; labels that would overlap are left out.

    `edge` is the right edge of the figure, which no label crosses.
    """
    parts, last = [], -math.inf
    for value, label in ticks:
        x, half = scale(value), svg.text_width(label, size_px=11) / 2
        parts.append(svg.element("line", x1=x, x2=x, y1=bottom, y2=bottom + 4, class_="axis"))
        centre = min(x, edge - half)
        if centre - half > last + 4:
            parts.append(
                svg.text(label, centre, bottom + 17, class_="muted small", anchor="middle")
            )
            last = centre + half
    middle = (scale.start + scale.end) / 2
    parts.append(svg.text(axis, middle, bottom + 36, class_="muted small", anchor="middle"))
    return parts
