"""The layer map: accuracy of every tap at every resolution."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

from headstart.plots import svg

# Points behind the best at which the colour changes, with small steps near the best.
_EDGES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_CELL_HEIGHT = 28
_WORDS = {"chosen": "chosen", "best": "highest", "tie": "tied with the highest"}


def layer_map(
    taps: Sequence[str],
    resolutions: Sequence[int | str],
    values: Mapping[tuple[str, int | str], float],
    *,
    marks: Mapping[tuple[str, int | str], str],
    name: str,
    title: str,
    description: str,
    axis: str = "resolution",
    unit: str = " px",
    points: str = "percentage points",
) -> str:
    """Heat map with the number in every cell; taps run down, resolutions across.

    Parameters
    ----------
    taps : sequence of str
        Row labels, in network order.
    resolutions : sequence of int or str
        Column labels.
    values : mapping (tap, resolution) -> float
        Accuracy in percent; missing pairs are empty.
    marks : mapping (tap, resolution) -> {"chosen", "best", "tie"}
        The sign next to the number; the chosen cell also has an outline.
    name, title, description : str
        Identity in the page, and the texts for screen readers.
    axis, unit : str
        What the columns are, and what stands behind their labels.
    points : str
        The unit of a difference between two cells.
    """
    left = max(svg.text_width(svg.shorten(tap)) for tap in taps) + 12
    # At least the width of the legend, eight swatches.
    widest = max((svg.text_width(f"{size}{unit}") for size in resolutions), default=0.0)
    cell = max(72.0, widest + 6, min(120.0, (345 - left) / len(resolutions)))
    top = 42
    best = max(values.values(), default=0.0)
    body = [svg.text(axis, left, 14, class_="muted small")]
    for j, resolution in enumerate(resolutions):
        body.append(svg.text(f"{resolution}{unit}", left + (j + 0.5) * cell, 33, anchor="middle"))
    for i, tap in enumerate(taps):
        y = top + i * _CELL_HEIGHT
        body.append(svg.text(svg.shorten(tap), left - 8, y + 18, anchor="end"))
        for j, resolution in enumerate(resolutions):
            key = (tap, resolution)
            place = f"{tap} at {resolution}{unit}" if unit else f"{tap}, {resolution}"
            body.append(
                _cell(left + j * cell, y, cell, place, values.get(key), best, marks.get(key))
            )
    # Outlines last, so that no neighbour covers them.
    for (tap, resolution), kind in marks.items():
        if kind == "chosen":
            x = left + resolutions.index(resolution) * cell
            y = top + taps.index(tap) * _CELL_HEIGHT
            body.append(svg.element("rect", class_="outline", stroke_width=2.5, **_box(x, y, cell)))
    bottom = top + len(taps) * _CELL_HEIGHT
    kinds = [kind for kind in _WORDS if kind in marks.values()]
    width = max(left + cell * len(resolutions), 330) + 2
    body += _legend(bottom + 22, kinds, points)
    height = bottom + 72 + 20 * len(kinds)
    return svg.figure(name, title, description, width, height, *body)


def step_behind(points: float) -> int:
    """Colour step (7 is the strongest) for a distance in points from the best."""
    return len(_EDGES) - bisect.bisect_left(_EDGES, points)


def _box(x: float, y: float, width: float) -> dict[str, float]:
    return {"x": x + 1, "y": y + 1, "width": width - 2, "height": _CELL_HEIGHT - 2, "rx": 3}


def _cell(
    x: float,
    y: float,
    width: float,
    place: str,
    value: float | None,
    best: float,
    kind: str | None,
) -> str:
    box = _box(x, y, width)
    if value is None:
        return svg.element("rect", svg.tip(f"{place}: not measured"), class_="empty", **box)
    step = step_behind(best - value)
    middle = x + width / 2 + (7 if kind else 0)
    words = f" ({_WORDS[kind]})" if kind else ""
    parts = [
        svg.tip(f"{place}: {value:.1f} %{words}"),
        svg.element("rect", class_=f"blue{step}", **box),
        svg.text(
            f"{value:.1f}",
            middle,
            y + 18,
            anchor="middle",
            class_=f"on-blue{step}" + (" strong" if kind else ""),
        ),
    ]
    if kind:
        style = f"stroke:var(--on-blue{step});" + (
            f"fill:var(--on-blue{step})" if kind == "chosen" else ""
        )
        sign = svg.mark(kind, middle - svg.text_width(f"{value:.1f}") / 2 - 10, y + 14)
        parts.append(svg.element("g", sign.replace("/>", f' style="{style}"/>', 1)))
    return svg.element("g", *parts)


def _legend(y: float, kinds: Sequence[str], points: str) -> list[str]:
    """Swatches with the points behind the best, then the signs in use."""
    parts = [svg.text(f"{points} behind the highest", 2, y, class_="muted small")]
    size = 36
    for i in range(len(_EDGES) + 1):
        parts.append(
            svg.element(
                "rect",
                x=2 + i * size,
                y=y + 7,
                width=size,
                height=12,
                class_=f"blue{len(_EDGES) - i}",
            )
        )
    for i, edge in enumerate(_EDGES):
        parts.append(
            svg.text(f"{edge:g}", 2 + (i + 1) * size, y + 32, class_="muted small", anchor="middle")
        )
    for i, kind in enumerate(kinds):
        line = y + 54 + 20 * i
        parts.append(svg.mark(kind, 9, line - 4))
        parts.append(svg.text(_WORDS[kind], 24, line))
    return parts
