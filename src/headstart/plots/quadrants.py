"""Advice in four fields around two thresholds, with the data as a dot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from headstart.plots import svg
from headstart.plots.axes import Scale

_LEFT, _TOP, _FOOT = 56.0, 26.0, 52.0
_LINE = 15.0


def quadrant_plot(
    point: tuple[float, float],
    thresholds: tuple[float, float],
    advice: Mapping[tuple[bool, bool], str],
    *,
    label: str,
    references: Mapping[str, float],
    x_axis: str,
    y_axis: str,
    name: str,
    title: str,
    description: str,
    width: float = 640,
    height: float = 360,
) -> str:
    """Advice by two logarithmic axes.

    Parameters
    ----------
    point : (x, y)
        The data, above 0.
    thresholds : (x, y)
        The corner between the fields, above 0.
    advice : mapping of (is right, is upper) to str
        Text of each field; that of the point is bold.
    label : str
        Label of the dot.
    references : mapping of str to y
        Known values of ``y``, ticks at the right.
    x_axis, y_axis : str
        What the axes measure.
    name, title, description : str
        Identity in the page, and the texts for screen readers.
    width, height : float
        In px.
    """
    right, bottom = width - 118.0, height - _FOOT
    # At least a decade on each side, so that each field has room for its text.
    at_x = Scale(*_span(thresholds[0], [point[0]]), _LEFT, right, is_log=True)
    at_y = Scale(*_span(thresholds[1], [point[1], *references.values()]), bottom, _TOP, is_log=True)
    middle_x, middle_y = at_x(thresholds[0]), at_y(thresholds[1])
    here = (point[0] >= thresholds[0], point[1] >= thresholds[1])
    body = [svg.text(y_axis, 2, 14, class_="muted small")]
    for (is_right, is_upper), words in advice.items():
        box = (
            middle_x if is_right else _LEFT,
            _TOP if is_upper else middle_y,
            right if is_right else middle_x,
            middle_y if is_upper else bottom,
        )
        body += _field(box, words, is_here=(is_right, is_upper) == here, avoid=at_y(point[1]))
    body += _axes(at_x, at_y, bottom)
    body += _references(references, at_y, right)
    x, y = at_x(point[0]), at_y(point[1])
    body.append(svg.element("circle", svg.tip(label), cx=x, cy=y, r=7, class_="accent"))
    label_x, label_y, anchor = _beside(x, y, svg.shorten(label), (middle_x, middle_y), right)
    body.append(svg.text(svg.shorten(label), label_x, label_y, class_="strong", anchor=anchor))
    body.append(
        svg.text(x_axis, (_LEFT + right) / 2, height - 10, class_="muted small", anchor="middle")
    )
    return svg.figure(name, title, description, width, height, *body)


_Box = tuple[float, float, float, float]


def _beside(
    x: float, y: float, label: str, middle: tuple[float, float], right: float
) -> tuple[float, float, str]:
    """Position and anchor of the dot's label that avoid the borders of fields."""
    wide = svg.text_width(label)
    past = [edge for edge in (middle[0], right) if x < edge < x + 16 + wide]
    before = [edge for edge in (_LEFT, middle[0]) if x - 16 - wide < edge < x]
    is_left = bool(past) and len(before) < len(past) if past or before else x > (_LEFT + right) / 2
    place = y + 4
    if abs(y - middle[1]) < 14:  # the border between the upper and the lower fields
        place = middle[1] - 12 if y <= middle[1] else middle[1] + 20
    return (x - 12, place, "end") if is_left else (x + 12, place, "start")


def _span(threshold: float, values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis: the threshold in the middle, all values inside."""
    middle = math.log10(threshold)
    reach = max([1.0, *(abs(math.log10(v) - middle) + 0.2 for v in values)])
    return 10.0 ** (middle - reach), 10.0 ** (middle + reach)


def _field(box: _Box, words: str, *, is_here: bool, avoid: float) -> list[str]:
    """A field with its text, avoiding the dot if it is inside."""
    x0, y0, x1, y1 = box
    lines = _wrapped(words, x1 - x0 - 20)
    middle = (y0 + y1) / 2
    if is_here and abs(avoid - middle) < _LINE * (len(lines) / 2 + 1.5):
        middle = (avoid + (y1 if avoid < middle else y0)) / 2
    top = middle - _LINE * (len(lines) - 1) / 2 + 4
    look = "blue1" if is_here else "empty"
    rect = svg.element("rect", x=x0, y=y0, width=x1 - x0, height=y1 - y0, class_=look)
    style = "on-blue1 strong" if is_here else "muted"
    return [
        rect,
        *(
            svg.text(line, (x0 + x1) / 2, top + _LINE * i, class_=style, anchor="middle")
            for i, line in enumerate(lines)
        ),
    ]


def _wrapped(words: str, width: float) -> list[str]:
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and svg.text_width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _axes(at_x: Scale, at_y: Scale, bottom: float) -> list[str]:
    """Ticks at powers of ten."""
    parts = []
    for value in _decades(at_x):
        x = at_x(value)
        parts.append(svg.element("line", x1=x, x2=x, y1=bottom, y2=bottom + 5, class_="axis"))
        parts.append(svg.text(f"{value:g}", x, bottom + 19, class_="muted small", anchor="middle"))
    for value in _decades(at_y):
        y = at_y(value)
        parts.append(svg.element("line", x1=_LEFT - 5, x2=_LEFT, y1=y, y2=y, class_="axis"))
        parts.append(svg.text(f"{value:g}", _LEFT - 8, y + 4, class_="muted small", anchor="end"))
    return parts


def _decades(scale: Scale) -> list[float]:
    low, high = math.log10(scale.low), math.log10(scale.high)
    return [10.0**k for k in range(math.ceil(low), math.floor(high) + 1)]


def _references(references: Mapping[str, float], at_y: Scale, right: float) -> list[str]:
    """Named ticks on the right, with overlapping names moved apart."""
    parts: list[str] = []
    last = -math.inf
    for label, value in sorted(references.items(), key=lambda item: -item[1]):
        y = at_y(value)
        last = max(y, last + 13)
        parts.append(svg.element("line", x1=right, x2=right + 6, y1=y, y2=y, class_="axis"))
        parts.append(svg.text(svg.shorten(label), right + 9, last + 4, class_="muted small"))
    return parts
