"""Lines with intervals: what is drawn is what was given."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from headstart.plots import Line, line_plot

WORDS = {
    "name": "f",
    "title": "t <b>",
    "description": "d & d",
    "x_axis": "images",
    "y_axis": "accuracy, %",
}
SVG = "{http://www.w3.org/2000/svg}"


def draw(*lines: Line, **options: object) -> ElementTree.Element:
    return ElementTree.fromstring(line_plot(lines, **WORDS, **options))  # type: ignore[arg-type]


def test_line_plot__every_line_is_named_and_every_point_has_its_tip() -> None:
    one = Line(label="one", x=[1, 10, 100], y=[20, 30, 50], low=[15, 25, 45], high=[25, 35, 55])
    two = Line(label="two", x=[1, 100], y=[10, 15], has_points=False)
    root = draw(one, two, log_x=True)
    words = [e.text for e in root.iter(f"{SVG}text")]
    assert {"one", "two", "images", "accuracy, %"} <= set(words)
    tips = [e.text for e in root.iter(f"{SVG}title")]
    assert "one: 30 at 10" in tips
    assert not any(t.startswith("two") for t in tips if t)


def test_line_plot__a_value_that_is_not_finite_interrupts_the_line() -> None:
    root = draw(Line(label="one", x=[1, 2, 3, 4], y=[1, math.nan, 3, 4]))
    [path] = [e for e in root.iter(f"{SVG}path") if e.get("fill") == "none"]
    d = path.get("d") or ""
    assert (d.count("M"), d.count("L")) == (2, 1)


def test_line_plot__higher_is_higher_on_both_kinds_of_axis() -> None:
    for log_y in (False, True):
        root = draw(Line(label="one", x=[1, 2, 3], y=[1, 10, 100]), log_y=log_y)
        [path] = [e for e in root.iter(f"{SVG}path") if e.get("fill") == "none"]
        places = (path.get("d") or "")[1:].split("L")
        heights = [float(place.split()[1]) for place in places]
        assert heights == sorted(heights, reverse=True)
        if log_y:
            assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)


def test_line_plot__a_wild_interval_does_not_squash_a_logarithmic_axis() -> None:
    calm = Line(label="one", x=[1, 2], y=[1, 10])
    wild = Line(label="one", x=[1, 2], y=[1, 10], low=[1e-9, 9], high=[1e9, 11])

    def height(line: Line) -> float:
        [path] = [e for e in draw(line, log_y=True).iter(f"{SVG}path") if e.get("fill") == "none"]
        first, last = (float(p.split()[1]) for p in (path.get("d") or "")[1:].split("L"))
        return first - last

    assert height(wild) > 0.2 * height(calm)
    ends = [
        float(e.get(k) or 0)
        for e in draw(wild, log_y=True).iter(f"{SVG}line")
        for k in ("y1", "y2")
    ]
    assert min(ends) >= 0


def test_line_plot__nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="no line"):
        draw(Line(label="one", x=[0.0], y=[1.0]), log_x=True)
