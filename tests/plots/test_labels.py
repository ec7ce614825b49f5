"""Labels: no line runs through one, and none is cut off by the edge of its figure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pytest

from headstart import plots
from headstart.plots import svg
from headstart.plots.bubbles import Bubble, bubble_plot
from headstart.plots.quadrants import quadrant_plot

SVG = "{http://www.w3.org/2000/svg}"
WORDS: dict[str, Any] = {"name": "f", "title": "t", "description": "d"}
AXES: dict[str, Any] = {"x_axis": "x", "y_axis": "y"}


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        across = min(self.right, other.right) > max(self.left, other.left)
        return across and min(self.bottom, other.bottom) > max(self.top, other.top)


def labels(root: ElementTree.Element) -> Iterator[tuple[str, Box]]:
    """Texts with the boxes of their letters, a little smaller than the generous guess."""
    for text in root.iter(f"{SVG}text"):
        if text.get("transform"):
            continue
        size = 11 if "small" in (text.get("class") or "") else 12.5
        wide = 0.9 * svg.text_width(text.text or "", size_px=size)
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        left = x - wide * {"middle": 0.5, "end": 1.0}.get(text.get("text-anchor", ""), 0.0)
        yield text.text or "", Box(left, y - 0.7 * size, left + wide, y)


def strokes(root: ElementTree.Element) -> Iterator[Box]:
    """Straight lines and the borders of boxes; grid lines where nothing hides them from a label."""
    has_halo = any("paint-order" in (g.get("style") or "") for g in root.iter(f"{SVG}g"))
    for line in root.iter(f"{SVG}line"):
        if has_halo and line.get("class") == "line":
            continue
        x, y = (sorted(float(line.attrib[k]) for k in (f"{a}1", f"{a}2")) for a in "xy")
        yield Box(x[0] - 0.5, y[0] - 0.5, x[1] + 0.5, y[1] + 0.5)
    for box in root.iter(f"{SVG}rect"):
        if box.get("class") in ("empty", "blue1") and "x" in box.attrib:
            x0, y0 = float(box.attrib["x"]), float(box.attrib["y"])
            x1, y1 = x0 + float(box.attrib["width"]), y0 + float(box.attrib["height"])
            yield from (Box(x, y0, x + 1, y1) for x in (x0, x1))
            yield from (Box(x0, y, x1, y + 1) for y in (y0, y1))


def row(label: str, low: float, high: float, **more: object) -> plots.IntervalRow:
    value = (low + high) / 2
    return plots.IntervalRow(label=label, value=value, low=low, high=high, **more)  # type: ignore[arg-type]


def field(x: float, y: float) -> str:
    """Four fields of advice with a long name beside the dot."""
    advice = {(a, b): "train a linear classifier" for a in (True, False) for b in (True, False)}
    return quadrant_plot(
        (x, y), (100, 1), advice, label="a data set of mine", references={"photographs": 0.1},
        **AXES, **WORDS,
    )  # fmt: skip


FIGURES = {
    "differences": plots.interval_plot(
        [
            row("co-adaptation to the third layer", -6, 1, mark="chosen", second=(-2, -6, 2)),
            row("specificity to the fifth layer", -1, 20, mark="tie", second=(3, -1, 9)),
            row("x" * 60, 3, 4),
        ],
        axis="points",
        zero=True,
        **WORDS,
    ),
    "bubbles": bubble_plot(
        [
            Bubble(label="mobilenetv1_075", x=0.3, y=79, area=2e6, low=72, high=85),
            Bubble(label="embedded", x=0.35, y=81, area=5e6, low=74, high=87, mark="chosen"),
            Bubble(label="squeezenet1_0", x=0.8, y=71, area=7e5, low=64, high=78),
        ],
        area_axis="parameters",
        **AXES,
        **WORDS,
    ),
    "crowd": bubble_plot(
        [
            Bubble(label=f"blocks.{i}", x=i**0.5, y=93 - i, area=0, low=91 - i, high=95 - i)
            for i in range(9)
        ],
        log_x=False,
        **AXES,
        **WORDS,
    ),
    "lines": plots.line_plot(
        [plots.Line(label="a", x=[0, 1], y=[1, 2]), plots.Line(label="b", x=[0, 1], y=[2, 1])],
        x_ticks=[(0, "none"), (1, "blocks.6.a_long_name")],
        **AXES,
        **WORDS,
    ),
    "layer map": plots.layer_map(
        ["conv"], ["whole 224", "whole 320", "224+320"], {}, marks={}, **WORDS
    ),
    **{f"field {x} {y}": field(x, y) for x in (10, 60, 100, 900) for y in (0.2, 1, 1.1, 5)},
}


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_figures__no_line_runs_through_a_label_and_none_is_cut_off(figure: str) -> None:
    root = ElementTree.fromstring(figure)
    wide, tall = map(float, root.attrib["viewBox"].split()[2:])
    lines, found = list(strokes(root)), list(labels(root))
    for text, box in found:
        assert not [line for line in lines if line.meets(box)], text
        assert box.left >= -1, text
        assert box.right <= wide + 1, text
        assert box.bottom <= tall, text
    for i, (text, box) in enumerate(found):
        assert not [other for other, there in found[:i] if box.meets(there)], text


def test_labels__are_read_from_a_figure() -> None:
    [(text, box)] = labels(
        ElementTree.fromstring(svg.figure("n", "t", "d", 9, 9, svg.text("ab", 5, 9)))
    )
    assert text == "ab"
    assert (box.left, box.bottom) == (5, 9)
