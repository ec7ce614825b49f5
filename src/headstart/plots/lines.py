"""Lines with optional intervals over one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from headstart.plots import svg
from headstart.plots.axes import Scale, x_labels, y_grid

_LEFT, _RIGHT, _TOP, _FOOT, _ROW = 52.0, 14.0, 30.0, 46.0, 18.0
# Maximum factor by which intervals extend a logarithmic axis beyond the values.
_REACH = 30.0
# Colour, dashes and marker: lines differ in all three, not only in colour.
_LOOKS = (
    ("var(--accent)", None, "circle"),
    ("var(--wrong)", "6 3", "square"),
    ("var(--ink)", "2 3", "triangle"),
    ("var(--muted)", "9 3 2 3", "diamond"),
    ("var(--blue-4, var(--accent))", "1 3", "square"),
    ("var(--orange-3, var(--wrong))", "12 4", "triangle"),
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line."""

    label: str
    # x, y: length n_points; ``x`` rising. A ``y`` that is not finite interrupts the line.
    x: Sequence[float]
    y: Sequence[float]
    # low, high: length n_points; ends of the intervals; empty: none are drawn
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    # draw behind the others, for values to compare with, such as published ones
    is_faint: bool = False
    has_points: bool = True  # draw a marker at each point; not for curves of hundreds


@dataclass(frozen=True)
class _Frame:
    """The two scales; points outside the vertical range are drawn at its edge."""

    x: Scale
    y_scale: Scale

    def y(self, value: float) -> float:
        scale = self.y_scale
        reach = 0.02 * (scale.start - scale.end)
        return min(max(scale(value), scale.end - reach), scale.start + reach)


def line_plot(
    lines: Sequence[Line],
    *,
    name: str,
    title: str,
    description: str,
    x_axis: str,
    y_axis: str,
    log_x: bool = False,
    log_y: bool = False,
    x_ticks: Sequence[tuple[float, str]] = (),
    y_range: tuple[float, float] | None = None,
    star: tuple[float, float] | None = None,
    width: float = 640,
    height: float = 300,
) -> str:
    """Lines with their intervals and a legend under the figure.

    Raises ValueError where no line has a point that can be drawn.

    Parameters
    ----------
    lines : sequence of Line
        Up to six are distinguishable; further ones repeat the styles.
    name, title, description : str
        Identity in the page, and the texts for screen readers.
    x_axis, y_axis : str
        What the axes measure.
    log_x, log_y : bool
        Logarithmic axes, which omit values that are not positive.
    x_ticks : sequence of (value, label)
        Instead of round numbers, such as names of layers.
    y_range : (low, high), optional
        Default: the range of points and intervals.
    star : (x, y), optional
        A point to mark.
    width, height : float
        In px; the legend is added to the height.
    """
    frame = _frame(lines, log_x, log_y, y_range, width, height)
    body = [svg.text(y_axis, 2, 14, class_="muted small")]
    body += y_grid(frame.y_scale, _LEFT, width - _RIGHT)
    body += x_labels(frame.x, x_ticks or frame.x.ticks(8), height - _FOOT, x_axis, edge=width)
    order = sorted(range(len(lines)), key=lambda i: not lines[i].is_faint)
    for i in order:
        body += _line(frame, lines[i], i)
    if star is not None:
        body.append(svg.mark("chosen", frame.x(star[0]), frame.y(star[1])))
    legend, rows = _legend(lines, height, width)
    return svg.figure(name, title, description, width, height + rows * _ROW, *body, *legend)


def _drawable(line: Line, log_x: bool, log_y: bool) -> list[int]:
    """The points that can be drawn."""
    return [
        i
        for i, (x, y) in enumerate(zip(line.x, line.y, strict=True))
        if math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x) and (y > 0 or not log_y)
    ]


def _frame(
    lines: Sequence[Line],
    log_x: bool,
    log_y: bool,
    y_range: tuple[float, float] | None,
    width: float,
    height: float,
) -> _Frame:
    xs: list[float] = []
    ys: list[float] = []
    for line in lines:
        for i in _drawable(line, log_x, log_y):
            xs.append(line.x[i])
            ends = [line.y[i], *(e[i] for e in (line.low, line.high) if len(e))]
            ys += [v for v in ends if math.isfinite(v) and (v > 0 or not log_y)]
    if not xs:
        raise ValueError("line_plot: no line has a point that can be drawn")
    low, high = (min(ys), max(ys)) if y_range is None else y_range
    if y_range is None and log_y:
        # Intervals of two seeds may span ten powers of ten; keep the lines readable.
        middles = [v for line in lines for v in line.y if math.isfinite(v) and v > 0]
        low, high = max(low, min(middles) / _REACH), min(high, max(middles) * _REACH)
        low, high = low / 1.15, high * 1.15
    elif y_range is None:
        air = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        low, high = low - air, high + air
    return _Frame(
        x=Scale(min(xs), max(xs), _LEFT, width - _RIGHT, log_x),
        y_scale=Scale(low, high, height - _FOOT, _TOP, log_y),
    )


def _line(frame: _Frame, line: Line, i: int) -> list[str]:
    colour, dashes, sign = _LOOKS[i % len(_LOOKS)]
    opacity = 0.5 if line.is_faint else None
    kept = _drawable(line, frame.x.is_log, frame.y_scale.is_log)
    parts = []
    if len(line.low) and len(line.high):
        parts += [_interval(frame, line, k, colour) for k in kept]
    runs, before = "", -2
    for k in kept:
        place = f"{frame.x(line.x[k]):.1f} {frame.y(line.y[k]):.1f}"
        runs += f"{'L' if k == before + 1 else 'M'}{place}"
        before = k
    parts.append(
        svg.element(
            "path", d=runs, fill="none", stroke=colour, stroke_width=2, stroke_dasharray=dashes
        )
    )
    if line.has_points:
        for k in kept:
            words = svg.tip(f"{line.label}: {line.y[k]:.4g} at {line.x[k]:g}")
            parts.append(_sign(sign, frame.x(line.x[k]), frame.y(line.y[k]), colour, words))
    return [svg.element("g", *parts, opacity=opacity)]


def _interval(frame: _Frame, line: Line, k: int, colour: str) -> str:
    x = frame.x(line.x[k])
    low, high = line.low[k], line.high[k]
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    y = frame.y_scale
    floor, ceiling = (y.low, y.high) if y.is_log else (-math.inf, math.inf)
    return svg.element(
        "line",
        x1=x,
        x2=x,
        y1=frame.y(min(max(low, floor), ceiling)),
        y2=frame.y(min(max(high, floor), ceiling)),
        stroke=colour,
        stroke_width=1.4,
        opacity=0.55,
    )


def _sign(kind: str, x: float, y: float, colour: str, *children: str) -> str:
    place = f"translate({x:.1f} {y:.1f})"
    shapes = {
        "circle": "M-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0Z",
        "square": "M-3-3H3V3H-3Z",
        "triangle": "M0-4.2 4 3H-4Z",
        "diamond": "M0-4.4 4.4 0 0 4.4-4.4 0Z",
    }
    return svg.element("path", *children, d=shapes[kind], transform=place, fill=colour)


def _legend(lines: Sequence[Line], height: float, width: float) -> tuple[list[str], int]:
    """The legend below the figure, in as many rows as needed."""
    if len(lines) == 1:
        return [], 0
    parts, x, row = [], _LEFT, 0
    for i, line in enumerate(lines):
        colour, dashes, sign = _LOOKS[i % len(_LOOKS)]
        needed = 56 + svg.text_width(line.label, size_px=11)
        if x + needed > width and x > _LEFT:
            x, row = _LEFT, row + 1
        y = height + row * _ROW + 6
        sample = svg.element(
            "line",
            x1=x,
            x2=x + 26,
            y1=y,
            y2=y,
            stroke=colour,
            stroke_width=2,
            stroke_dasharray=dashes,
        )
        point = _sign(sign, x + 13, y, colour) if line.has_points else ""
        label = svg.text(line.label, x + 32, y + 4, class_="small")
        parts.append(svg.element("g", sample, point, label, opacity=0.6 if line.is_faint else None))
        x += needed
    return parts, row + 1
