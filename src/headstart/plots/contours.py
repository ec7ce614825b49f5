"""Contours of a function of two variables with a path, in several panels side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.plots import svg
from headstart.plots.axes import Scale

_LEFT, _TOP, _FOOT, _GAP = 46.0, 40.0, 46.0, 54.0
Floats = NDArray[np.float64]
_Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One map of contours."""

    # label, note: above the panel, in one line each
    label: str
    note: str = ""
    # x, y: coordinates of ``values``, rising
    x: Sequence[float]
    y: Sequence[float]
    values: Floats  # (len(y), len(x))
    levels: Sequence[float]  # contours to draw
    path: Sequence[_Point] = ()  # (x, y); joined points, the first one a ring
    goal: _Point | None = None  # (x, y); a star


def contour_plot(
    panels: Sequence[Panel],
    *,
    name: str,
    title: str,
    description: str,
    x_axis: str,
    y_axis: str,
    side: float = 250,
) -> str:
    """Panels of contours in a row, each on its own scale.

    Parameters
    ----------
    panels : sequence of Panel
        One or more.
    name, title, description : str
        Identity in the page, and the texts for screen readers.
    x_axis, y_axis : str
        What the axes of every panel measure.
    side : float
        Of a panel in px.
    """
    body: list[str] = []
    for i, panel in enumerate(panels):
        left = _LEFT + i * (side + _GAP)
        body += _panel(panel, f"{name}-{i}", left, side)
        middle, foot = left + side / 2, _TOP + side + 34
        body.append(svg.text(x_axis, middle, foot, class_="muted small", anchor="middle"))
    turned = f"translate(11 {_TOP + side / 2:.1f}) rotate(-90)"
    body.append(svg.text(y_axis, 0, 0, class_="muted small", anchor="middle", transform=turned))
    width = _LEFT + len(panels) * (side + _GAP) - _GAP + 12
    return svg.figure(name, title, description, width, _TOP + side + _FOOT, *body)


def contour(
    x: Sequence[float], y: Sequence[float], values: Floats, level: float
) -> list[list[_Point]]:
    """Contour lines of a function at one level, by marching squares.

    Parameters
    ----------
    values : array (len(y), len(x))
        Values on a grid, interpolated linearly along the edges of squares.

    Returns
    -------
    list of list of (x, y)
        Chains of points; closed ones end at their first point.
    """
    links: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}
    inside = values > level
    for i, j in np.argwhere(_is_crossed(inside)):
        for one, other in _sides(inside[i : i + 2, j : j + 2], int(i), int(j)):
            links.setdefault(one, []).append(other)
            links.setdefault(other, []).append(one)
    chains = []
    # Open chains first, from an end; what is left then is closed.
    for start in sorted(links, key=lambda edge: len(links[edge])):
        if links[start]:
            chains.append([_place(edge, x, y, values, level) for edge in _follow(links, start)])
    return chains


def _is_crossed(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Squares whose corners are not all on one side."""
    n_in = sum(
        inside[a : inside.shape[0] - 1 + a, b : inside.shape[1] - 1 + b].astype(int)
        for a in (0, 1)
        for b in (0, 1)
    )
    return (np.asarray(n_in) > 0) & (np.asarray(n_in) < 4)


def _sides(
    corner: NDArray[np.bool_], i: int, j: int
) -> list[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    """Pairs of edges (row, column, 0 along x or 1 along y) of a square that a contour joins."""
    crossed = [
        edge
        for edge, is_cut in (
            ((i, j, 0), corner[0, 0] != corner[0, 1]),
            ((i, j + 1, 1), corner[0, 1] != corner[1, 1]),
            ((i + 1, j, 0), corner[1, 0] != corner[1, 1]),
            ((i, j, 1), corner[0, 0] != corner[1, 0]),
        )
        if is_cut
    ]
    if len(crossed) == 2:
        return [(crossed[0], crossed[1])]
    # A saddle has two interpretations; separate the two corners of one kind.
    return [(crossed[0], crossed[3]), (crossed[1], crossed[2])]


def _follow(
    links: dict[tuple[int, int, int], list[tuple[int, int, int]]], start: tuple[int, int, int]
) -> list[tuple[int, int, int]]:
    """Follow links from edge to edge, removing them."""
    chain = [start]
    while links[chain[-1]]:
        after = links[chain[-1]].pop()
        links[after].remove(chain[-1])
        chain.append(after)
    return chain


def _place(
    edge: tuple[int, int, int],
    x: Sequence[float],
    y: Sequence[float],
    values: Floats,
    level: float,
) -> _Point:
    """The point on an edge at which the level is reached."""
    i, j, along_y = edge
    first, last = values[i, j], values[i + along_y, j + 1 - along_y]
    share = float((level - first) / (last - first))
    if along_y:
        return x[j], y[i] + share * (y[i + 1] - y[i])
    return x[j] + share * (x[j + 1] - x[j]), y[i]


def _panel(panel: Panel, name: str, left: float, side: float) -> list[str]:
    at_x = Scale(panel.x[0], panel.x[-1], left, left + side)
    at_y = Scale(panel.y[0], panel.y[-1], _TOP + side, _TOP)

    def at(point: _Point) -> _Point:
        return at_x(point[0]), at_y(point[1])

    parts = [
        svg.text(panel.label, left, 14, class_="strong"),
        svg.text(panel.note, left, 30, class_="muted small"),
        svg.element("rect", x=left, y=_TOP, width=side, height=side, class_="empty"),
        svg.element(
            "clipPath",
            svg.element("rect", x=left, y=_TOP, width=side, height=side),
            id=f"{name}-clip",
        ),
    ]
    lines = [
        svg.element(
            "path", svg.tip(f"{level:.4g}"), d=_joined(chain, at), class_="axis", opacity=0.7
        )
        for level in panel.levels
        for chain in contour(panel.x, panel.y, panel.values, level)
    ]
    if len(panel.path):
        lines.append(
            svg.element(
                "path",
                d=_joined(panel.path, at),
                class_="curve",
                stroke_width=1.8,
                stroke_linejoin="round",
            )
        )
        lines += [_dot(at(point), 2.2) for point in panel.path[1:]]
    parts.append(svg.element("g", *lines, clip_path=f"url(#{name}-clip)"))
    if len(panel.path):
        cx, cy = at(panel.path[0])
        parts.append(svg.element("circle", cx=cx, cy=cy, r=5, class_="hollow", stroke_width=1.6))
    if panel.goal is not None:
        parts.append(svg.mark("chosen", *at(panel.goal)))
    return parts + _axes(at_x, at_y)


def _dot(place: _Point, radius: float) -> str:
    return svg.element("circle", cx=place[0], cy=place[1], r=radius, class_="accent")


def _joined(points: Sequence[_Point], at: Callable[[_Point], _Point]) -> str:
    return "M" + "L".join("{:.1f} {:.1f}".format(*at(point)) for point in points)


def _axes(at_x: Scale, at_y: Scale) -> list[str]:
    """Round numbers below and to the left."""
    below = [
        svg.text(label, at_x(value), at_y.start + 17, class_="muted small", anchor="middle")
        for value, label in at_x.ticks()
    ]
    beside = [
        svg.text(label, at_x.start - 6, at_y(value) + 4, class_="muted small", anchor="end")
        for value, label in at_y.ticks()
    ]
    return below + beside
