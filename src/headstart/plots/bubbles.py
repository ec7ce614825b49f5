"""Bubbles: one value over another, with a third as the area, such as accuracy over computation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from headstart.plots import svg
from headstart.plots.axes import Scale, x_labels, y_grid

_LEFT, _RIGHT, _TOP, _FOOT = 50.0, 18.0, 30.0, 50.0
_LARGEST, _SMALLEST = 30.0, 3.5  # radii, px
_TEXT = 11.0
# An outline in the background colour, so that lines do not cross letters.
_HALO = "paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round"

# Distances in px at which a label may be placed, and cost per px relative to px^2 of overlap.
_FAR = (22.0, 38.0, 54.0, 70.0)
_PER_PX_AWAY = 3.0
_PER_LINE_PX = 8.0  # an interval is thin, but crossing a label makes it hard to read


@dataclass(frozen=True, kw_only=True, slots=True)
class Bubble:
    """One bubble."""

    label: str
    x: float  # above zero if the axis is logarithmic
    y: float
    area: float  # 0 or more; the largest of a figure sets the scale
    mark: str = ""  # ``""``, ``"chosen"``, ``"best"`` or ``"tie"``: the sign in the bubble
    # low, high: ends of the interval of ``y``, drawn as a line through the bubble
    low: float | None = None
    high: float | None = None
    is_faint: bool = False  # draw in grey, for values to compare with, such as published ones


@dataclass(frozen=True, slots=True)
class _Box:
    """The bounding box of text or of a bubble."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: _Box) -> float:
        """Shared area, px^2."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A bubble in px, and the anchor of its label."""

    bubble: Bubble
    x: float
    y: float
    radius: float
    label_x: float
    label_y: float
    anchor: str


def bubble_plot(
    points: Sequence[Bubble],
    *,
    x_axis: str,
    y_axis: str,
    name: str,
    title: str,
    description: str,
    area_axis: str = "",
    area_unit: Callable[[float], str] = "{:.3g}".format,
    front: Sequence[str] = (),
    log_x: bool = True,
    width: float = 640,
    height: float = 420,
) -> str:
    """Bubbles with labels, the larger ones behind the smaller.

    Raises ValueError where there are no points, or one is illegal on a logarithmic axis.

    Parameters
    ----------
    points : sequence of Bubble
        At least one.
    x_axis, y_axis : str
        What the axes measure, with their units.
    name, title, description : str
        Identity in the page, and the texts for screen readers.
    area_axis : str
        What the area measures; adds a legend with two areas.
    area_unit : function of float to str
        Format of areas in the legend.
    front : sequence of str
        Labels of the points to join by a dashed line, such as the Pareto front.
    log_x : bool, default True
        Logarithmic ``x`` axis.
    width, height : float
        In px.
    """
    if not points:
        raise ValueError("bubble_plot needs one or more points; got none")
    if log_x and min(p.x for p in points) <= 0:
        raise ValueError("bubble_plot with log_x needs every x above 0")
    largest = max(p.area for p in points) or 1.0
    right, bottom = width - _RIGHT, height - _FOOT
    at_x = Scale(*_x_range([p.x for p in points], log_x), _LEFT, right, log_x)
    at_y = Scale(*_y_range(points), bottom, _TOP)
    legend = _legend(
        largest, area_axis, area_unit, right, bottom, _covered(points, at_x, at_y, largest)
    )
    taken = [legend[1]] if legend else []
    lines = _interval_boxes(points, at_x, at_y)
    placed = _place(points, at_x, at_y, largest, (_LEFT, right, _TOP, bottom), taken, lines)
    body = [svg.text(y_axis, 2, 14, class_="muted small")]
    body += y_grid(at_y, _LEFT, right, n=7)
    body += x_labels(at_x, at_x.ticks(7), bottom, x_axis)
    body += legend[0] if legend else []
    body += _front([p for p in placed if p.bubble.label in front])
    for spot in sorted(placed, key=lambda p: -p.radius):
        body.append(_bubble(spot, at_y, x_axis, y_axis))
    body += [line for spot in placed for line in _leader(spot)]
    body += [_label(spot) for spot in placed]
    return svg.figure(name, title, description, width, height, *body)


def _x_range(values: Sequence[float], log_x: bool) -> tuple[float, float]:
    scaled = [math.log10(v) if log_x else v for v in values]
    low, high = min(scaled), max(scaled)
    # Room at both ends for half a bubble and for a label.
    air = 0.14 * (high - low) or (0.5 if log_x else abs(high) or 1.0)
    low, high = low - air, high + air
    return (10.0**low, 10.0**high) if log_x else (low, high)


def _y_range(points: Sequence[Bubble]) -> tuple[float, float]:
    ends = [end for p in points for end in (p.y, p.low, p.high) if end is not None]
    air = 0.12 * (max(ends) - min(ends)) or 1.0
    return min(ends) - air, max(ends) + air


def _radius(area: float, largest: float) -> float:
    return max(_LARGEST * math.sqrt(max(area, 0.0) / largest), _SMALLEST)


def _place(
    points: Sequence[Bubble],
    at_x: Scale,
    at_y: Scale,
    largest: float,
    frame: tuple[float, float, float, float],
    taken: list[_Box],
    lines: Sequence[_Box],
) -> list[_Placed]:
    """Place each label near its bubble with the least overlap."""
    circles = [(at_x(p.x), at_y(p.y), _radius(p.area, largest)) for p in points]
    boxes = taken + [_Box(x - r, y - r, x + r, y + r) for x, y, r in circles]
    placed = []
    for bubble, (x, y, r) in zip(points, circles, strict=True):
        wide = svg.text_width(svg.shorten(bubble.label), size_px=_TEXT)
        spots = _spots(x, y, r)
        costs = [
            _cost(_label_box(*spot, wide), boxes, frame)
            + _PER_LINE_PX * sum(_label_box(*spot, wide).overlap(line) for line in lines)
            + far * _PER_PX_AWAY
            for spot, far in spots
        ]
        best = spots[costs.index(min(costs))][0]
        boxes.append(_label_box(*best, wide))
        placed.append(_Placed(bubble, x, y, r, *best))
    return placed


def _spots(x: float, y: float, r: float) -> list[tuple[tuple[float, float, str], float]]:
    """Candidate anchors of a label with their distances from the bubble, nearest first."""
    near = 0.7 * r
    spots = [
        (x + r + 4, y + 4, "start"),
        (x - r - 4, y + 4, "end"),
        (x, y - r - 5, "middle"),
        (x, y + r + 12, "middle"),
        (x + near + 3, y - near - 4, "start"),
        (x + near + 3, y + near + 11, "start"),
        (x - near - 3, y - near - 4, "end"),
        (x - near - 3, y + near + 11, "end"),
    ]
    found = [(spot, 0.0) for spot in spots]
    for far in _FAR:
        for across, down in ((0.7, -0.7), (0.7, 0.7), (-0.7, -0.7), (-0.7, 0.7), (0, -1), (0, 1)):
            anchor = "start" if across > 0 else "end" if across < 0 else "middle"
            place = (x + across * (r + far), y + down * (r + far) + (4 if down < 0 else 8), anchor)
            found.append((place, far))
    return found


def _label_box(x: float, y: float, anchor: str, wide: float) -> _Box:
    left = x - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
    return _Box(left, y - 10, left + wide, y + 3)


def _cost(box: _Box, boxes: Sequence[_Box], frame: tuple[float, float, float, float]) -> float:
    left, right, top, bottom = frame
    outside = max(left - box.left, 0) + max(box.right - right, 0)
    outside += max(top - box.top, 0) + max(box.bottom - bottom, 0)
    return sum(box.overlap(other) for other in boxes) + 1000 * outside


def _front(spots: Sequence[_Placed]) -> list[str]:
    ordered = sorted(spots, key=lambda p: p.x)
    return [
        svg.element("line", x1=a.x, y1=a.y, x2=b.x, y2=b.y, class_="axis", stroke_dasharray="4 3")
        for a, b in pairwise(ordered)
    ]


def _bubble(spot: _Placed, at_y: Scale, x_axis: str, y_axis: str) -> str:
    p = spot.bubble
    colour = "var(--muted)" if p.is_faint else "var(--accent)"
    written = f"{p.label}: {y_axis} {p.y:.3g}, {x_axis} {p.x:.3g}"
    parts = [
        svg.tip(written),
        svg.element(
            "circle",
            cx=spot.x,
            cy=spot.y,
            r=spot.radius,
            style=f"fill:{colour};fill-opacity:.28;stroke:{colour}",
            stroke_width=1.5,
        ),
    ]
    if p.low is not None and p.high is not None:
        ends = {"x1": spot.x, "x2": spot.x, "y1": at_y(p.low), "y2": at_y(p.high)}
        parts.append(svg.element("line", style=f"stroke:{colour}", stroke_width=2, **ends))
    if p.mark:
        parts.append(svg.mark(p.mark, spot.x, spot.y))
    else:
        dot = f"fill:{colour};stroke:none"
        parts.append(svg.element("circle", cx=spot.x, cy=spot.y, r=2, style=dot))
    return svg.element("g", *parts)


def _label(spot: _Placed) -> str:
    p = spot.bubble
    style = "muted small" if p.is_faint else "small strong" if p.mark else "small"
    label = svg.text(
        svg.shorten(p.label), spot.label_x, spot.label_y, class_=style, anchor=spot.anchor
    )
    return svg.element("g", label, style=_HALO)


def _leader(spot: _Placed) -> list[str]:
    """A thin line from a bubble to a distant label."""
    across, down = spot.label_x - spot.x, spot.label_y - 4 - spot.y
    length = math.hypot(across, down)
    if length < spot.radius + _FAR[0] - 6:
        return []
    start = spot.radius / length
    ends = {
        "x1": spot.x + start * across,
        "y1": spot.y + start * down,
        "x2": spot.label_x,
        "y2": spot.label_y + (2 if down < 0 else -9),
    }
    return [svg.element("line", class_="axis", stroke_width=0.7, **ends)]


def _legend(
    largest: float,
    axis: str,
    unit: Callable[[float], str],
    right: float,
    bottom: float,
    covered: Sequence[_Box],
) -> tuple[list[str], _Box] | None:
    """A legend with two areas, in the lower corner with the least overlap."""
    if not axis:
        return None
    rounded = _round_down(largest)
    sizes = [rounded, _round_down(rounded / 8)]
    words = [unit(value) for value in sizes]
    wide = 2 * _LARGEST + 10 + max(svg.text_width(w, size_px=_TEXT) for w in words)
    wide = max(wide, svg.text_width(axis, size_px=_TEXT))
    tall = sum(2 * _radius(size, largest) + 5 for size in sizes) + 28

    def cost(left: float) -> float:
        box = _Box(left - 6, bottom - tall, left + wide, bottom)
        return sum(box.overlap(other) for other in covered)

    left, y = min((right - wide, _LEFT + 6), key=cost), bottom - 10
    # A background for the legend, so that grid lines do not cross it.
    ground = {"x": left - 6, "y": bottom - tall, "width": wide + 6, "height": tall - 2}
    parts = [svg.element("rect", style="fill:var(--paper)", **ground)]
    for value, word in zip(reversed(sizes), reversed(words), strict=True):
        r = _radius(value, largest)
        centre = left + _LARGEST
        parts.append(svg.element("circle", cx=centre, cy=y - r, r=r, class_="axis"))
        parts.append(svg.text(word, left + 2 * _LARGEST + 8, y - r + 4, class_="muted small"))
        y -= 2 * r + 5
    parts.append(svg.text(axis, left, y - 4, class_="muted small"))
    return parts, _Box(left - 6, y - 18, left + wide, bottom)


def _covered(points: Sequence[Bubble], at_x: Scale, at_y: Scale, largest: float) -> list[_Box]:
    """Bounding boxes of bubbles and intervals."""
    boxes = []
    for p in points:
        x, y, r = at_x(p.x), at_y(p.y), _radius(p.area, largest)
        boxes.append(_Box(x - r, y - r, x + r, y + r))
    return boxes + _interval_boxes(points, at_x, at_y)


def _interval_boxes(points: Sequence[Bubble], at_x: Scale, at_y: Scale) -> list[_Box]:
    return [
        _Box(at_x(p.x) - 2, at_y(p.high), at_x(p.x) + 2, at_y(p.low))
        for p in points
        if p.low is not None and p.high is not None
    ]


def _round_down(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above ``value``."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return max(m * power for m in (1, 2, 5) if m * power <= value * (1 + 1e-9) or m == 1)
