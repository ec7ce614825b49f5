"""Points on a plane without axes, such as a map of images: right ones and wrong ones, classes named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.plots import svg

_HALO = "paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round"
_AIR = 24.0
# Of a name: its height above and below the baseline, steps in px from one place that is tried to the next,
# and how far from the middle of its class a line is drawn to it.
_ABOVE, _BELOW, _STEP_X, _STEP_Y, _FAR = 10.0, 4.0, 8.0, 7.0, 22.0


def scatter_plot(
    places: Sequence[tuple[float, float]],
    is_wrong: Sequence[bool],
    *,
    name: str,
    title: str,
    description: str,
    labels: Sequence[str] = (),
    tips: Sequence[str] = (),
    width: float = 640,
) -> str:
    """Small blue circles, orange crosses for those that are wrong, and the name of each class in its middle.

    Raises ValueError where there are no points.

    Parameters
    ----------
    places : sequence of (x, y), each in [0, 1], length n >= 1
    is_wrong : sequence of bool, length n
    name, title, description : str
        Identity in the page, and the texts for screen readers.
    labels : sequence of str, length n or 0
        Class of each point; its name stands where the median of its points is, or as near to it as it
        covers no other name.
    tips : sequence of str, length n or 0
        Shown under the pointer.
    width : float
        In px; the height follows from the places.
    """
    if not places:
        raise ValueError("scatter_plot needs one or more points; got none")
    r = max(1.5, min(4.0, 80 / len(places) ** 0.5))
    unit, top = width - 2 * _AIR, max(y for _, y in places)
    at = [(_AIR + x * unit, _AIR + (top - y) * unit) for x, y in places]
    height = max(y for _, y in at) + _AIR
    body = []
    for i in np.argsort(is_wrong, kind="stable").tolist():  # wrong ones on top
        (x, y), tip = at[i], svg.tip(tips[i]) if tips else ""
        if is_wrong[i]:
            d = f"M{x - r:.1f} {y - r:.1f}l{2 * r:.1f} {2 * r:.1f}m0 {-2 * r:.1f}l{-2 * r:.1f} {2 * r:.1f}"
            stroke = "var(--orange5)"
            body.append(svg.element("path", tip, d=d, stroke=stroke, stroke_width=1.8, fill="none"))
        else:
            cx, cy, radius = round(x, 1), round(y, 1), round(r, 1)
            circle = svg.element(
                "circle", tip, class_="blue4", fill_opacity=0.6, cx=cx, cy=cy, r=radius
            )
            body.append(circle)
    middles = _middles(at, labels)
    found = _apart(middles, width)
    lines = [_leader(middles[label], place) for label, place in found.items()]
    body += filter(None, lines)
    for label, (x, y) in found.items():
        text = svg.text(svg.shorten(label), round(x, 1), round(y, 1), anchor="middle")
        body.append(svg.element("g", text, class_="strong", style=_HALO))
        height = max(height, y + _BELOW)
    return svg.figure(name, title, description, width, round(height), *body)


def _middles(
    at: Sequence[tuple[float, float]], labels: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """The median of each class, the largest class first."""
    of_class: dict[str, list[tuple[float, float]]] = {}
    for place, label in zip(at, labels, strict=False):
        of_class.setdefault(label, []).append(place)
    order = sorted(of_class, key=lambda label: (-len(of_class[label]), label))
    return {label: tuple(np.median(of_class[label], axis=0).tolist()) for label in order}


def _apart(middles: dict[str, tuple[float, float]], width: float) -> dict[str, tuple[float, float]]:
    """Where each name stands, centred on its baseline: the place nearest to its middle that is free."""
    low = max((y for _, y in middles.values()), default=0.0)
    # So many that a place is always free, below the points if need be.
    rows = np.arange(_ABOVE, low + 2 * (len(middles) + 1) * (_ABOVE + _BELOW), _STEP_Y)
    taken = np.empty((0, 4))  # left, right, top, bottom
    found = {}
    for label, (x, y) in middles.items():
        # Bold letters are broader than those of the estimate.
        half = min(1.12 * svg.text_width(svg.shorten(label)), width - 4) / 2
        columns = np.arange(2 + half, width - 2 - half + 1e-9, _STEP_X)
        own = np.clip(x, 2 + half, width - 2 - half), max(y, _ABOVE)
        grid = np.array(np.meshgrid(columns, rows)).reshape(2, -1).T
        spots = np.vstack([[own], grid])
        spots = spots[np.argsort(np.hypot(*(spots - own).T), kind="stable")]
        boxes = np.column_stack(
            [spots[:, 0] - half, spots[:, 0] + half, spots[:, 1] - _ABOVE, spots[:, 1] + _BELOW]
        )
        is_free = np.ones(len(boxes), dtype=bool)
        for left, right, top, bottom in taken:
            across = (boxes[:, 0] < right) & (boxes[:, 1] > left)
            is_free &= ~(across & (boxes[:, 2] < bottom) & (boxes[:, 3] > top))
        first = int(is_free.argmax())
        taken = np.vstack([taken, boxes[first]])
        found[label] = tuple(spots[first].tolist())
    return found


def _leader(middle: tuple[float, float], place: tuple[float, float]) -> str:
    """A thin line from the middle of a class to a name that stands away from it."""
    (x, y), (to_x, to_y) = middle, place
    if np.hypot(to_x - x, to_y - y) < _FAR:
        return ""
    end = to_y + _BELOW if to_y < y else to_y - _ABOVE
    return svg.element("line", x1=x, y1=y, x2=to_x, y2=end, class_="axis", stroke_width=0.7)
