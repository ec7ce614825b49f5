"""Points on a plane without axes, such as a map of images: right ones and wrong ones, classes named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.plots import svg

_HALO = "paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round"
_AIR = 24.0


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
        Class of each point; its name stands where the median of its points is.
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
    for label in sorted(set(labels)):
        own = np.array([at[i] for i, other in enumerate(labels) if other == label])
        x, y = np.median(own, axis=0).tolist()
        text = svg.text(svg.shorten(label), round(x, 1), round(y, 1), anchor="middle")
        body.append(svg.element("g", text, class_="strong", style=_HALO))
    return svg.figure(name, title, description, width, round(height), *body)
