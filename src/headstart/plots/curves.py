"""A curve over a logarithmic axis, such as accuracy over C."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from headstart.plots import svg


def log_curve(
    x: Sequence[float],
    y: Sequence[float],
    *,
    chosen: float | None = None,
    name: str,
    title: str,
    description: str,
    x_axis: str,
    y_axis: str,
    width: float = 400,
    height: float = 210,
) -> str:
    """Points joined by a line, ``x`` on a logarithmic axis; ``chosen`` carries a star.

    Parameters
    ----------
    x : sequence of float, length n_points
        Above zero, rising.
    y : sequence of float, length n_points
    chosen : float or None
        The member of ``x`` to mark.
    name, title, description : str
        Identity in the page, and the words for those who do not see the figure.
    x_axis, y_axis : str
        What the axes measure.
    width, height : float
        In px.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    left, right, top, bottom = 46.0, width - 14, 24.0, height - 44
    logs = [math.log10(v) for v in x]
    span = (logs[-1] - logs[0]) or 1.0
    air = 0.08 * (max(y) - min(y)) or 1.0
    low, high = min(y) - air, max(y) + air
    places = [
        (
            left + 10 + (log - logs[0]) / span * (right - left - 20),
            bottom - (value - low) / (high - low) * (bottom - top),
        )
        for log, value in zip(logs, y, strict=True)
    ]
    body = [svg.text(y_axis, 2, 12, class_="muted small")]
    for value, label in _levels(low, high):
        level = bottom - (value - low) / (high - low) * (bottom - top)
        body.append(svg.element("line", x1=left, x2=right, y1=level, y2=level, class_="line"))
        body.append(svg.text(label, left - 6, level + 4, class_="muted small", anchor="end"))
    line = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in places)
    body.append(svg.element("path", d=line, class_="curve", stroke_width=2.2))
    body += _points(places, x, y, chosen, bottom + 18)
    body.append(
        svg.text(x_axis, (left + right) / 2, height - 8, class_="muted small", anchor="middle")
    )
    return svg.figure(name, title, description, width, height, *body)


def _levels(low: float, high: float) -> Iterable[tuple[float, str]]:
    values = svg.ticks(low, high, n=4)
    return zip(values, svg.tick_labels(values), strict=True)


def _points(
    places: Sequence[tuple[float, float]],
    x: Sequence[float],
    y: Sequence[float],
    chosen: float | None,
    label_y: float,
) -> list[str]:
    """The dots, their labels where there is room, and the star."""
    parts, last = [], -math.inf
    for (px, py), c, value in zip(places, x, y, strict=True):
        words = svg.tip(f"{c:g}: {value:.2f}")
        parts.append(svg.element("circle", words, cx=px, cy=py, r=4, class_="accent"))
        if px - last >= 36:
            parts.append(svg.text(f"{c:g}", px, label_y, class_="muted small", anchor="middle"))
            last = px
        if chosen is not None and math.isclose(c, chosen):
            parts.append(svg.mark("chosen", px, py - 13))
    return parts
