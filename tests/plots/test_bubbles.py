"""Bubbles: well-formed, in the right places and sizes, with labels that do not collide."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

import pytest

from headstart.plots.bubbles import Bubble, bubble_plot
from headstart.plots.quadrants import quadrant_plot

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>\n\"'&\x1b \udcff"
WORDS: dict[str, Any] = {
    "name": "f",
    "title": EVIL,
    "description": EVIL,
    "x_axis": "x",
    "y_axis": "y",
}
POINTS = [
    Bubble(label=EVIL, x=1, y=60, area=4),
    Bubble(label="large", x=10, y=70, area=16, mark="chosen", low=68, high=72),
    Bubble(label="old", x=100, y=65, area=1, is_faint=True),
]


def parse(figure: str) -> ElementTree.Element:
    return ElementTree.fromstring(figure.encode("utf-8"))


def circles(root: ElementTree.Element) -> list[dict[str, float]]:
    found = [c.attrib for c in root.iter(f"{SVG}circle") if c.get("stroke-width") == "1.5"]
    return [{k: float(c[k]) for k in ("cx", "cy", "r")} for c in found]


def test_bubble_plot__areas_are_in_proportion_and_the_axis_is_logarithmic() -> None:
    drawn = sorted(circles(parse(bubble_plot(POINTS, **WORDS))), key=lambda c: c["cx"])
    assert [round(c["r"] / drawn[1]["r"], 2) for c in drawn] == [0.5, 1.0, 0.25]
    first, second, third = (c["cx"] for c in drawn)
    assert second - first == pytest.approx(third - second, abs=0.05)
    assert drawn[1]["cy"] < drawn[2]["cy"] < drawn[0]["cy"]


def test_bubble_plot__a_linear_axis_on_request() -> None:
    drawn = sorted(circles(parse(bubble_plot(POINTS, log_x=False, **WORDS))), key=lambda c: c["cx"])
    first, second, third = (c["cx"] for c in drawn)
    assert (second - first) / (third - first) == pytest.approx(9 / 99, abs=0.01)


def test_bubble_plot__large_bubbles_lie_behind_small_ones() -> None:
    radii = [c["r"] for c in circles(parse(bubble_plot(POINTS, **WORDS)))]
    assert radii == sorted(radii, reverse=True)


def test_bubble_plot__joins_the_front_in_order() -> None:
    root = parse(bubble_plot(POINTS, front=["large", "old"], **WORDS))
    dashed = [e for e in root.iter(f"{SVG}line") if e.get("stroke-dasharray")]
    assert len(dashed) == 1


def test_bubble_plot__legend_tells_areas() -> None:
    root = parse(bubble_plot(POINTS, area_axis="size", area_unit=lambda v: f"{v:g} MB", **WORDS))
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert {"size", "10 MB", "1 MB"} <= set(texts)


def test_bubble_plot__labels_of_crowded_points_stay_apart_and_inside() -> None:
    points = [
        Bubble(label=f"network {i}", x=1.0 + 0.3 * i, y=70 + (i % 3) * 0.6, area=1 + i % 4)
        for i in range(9)
    ]
    root = parse(bubble_plot(points, **WORDS))
    labels = [t for t in root.iter(f"{SVG}text") if (t.text or "").startswith("network")]
    places = [(float(t.get("x", 0)), float(t.get("y", 0)), t.get("text-anchor")) for t in labels]
    assert len({(round(x), round(y)) for x, y, _ in places}) == 9
    assert all(0 <= x <= 640 and 0 <= y <= 420 for x, y, _ in places)


@pytest.mark.parametrize("points", [[], [Bubble(label="a", x=0, y=1, area=1)]])
def test_bubble_plot__refuses_what_it_cannot_show(points: list[Bubble]) -> None:
    with pytest.raises(ValueError, match="bubble_plot"):
        bubble_plot(points, **WORDS)


def test_bubble_plot__one_point_is_enough() -> None:
    assert len(circles(parse(bubble_plot(POINTS[:1], **WORDS)))) == 1


ADVICE = {(r, u): f"advice {r} {u}" for r in (False, True) for u in (False, True)}


@pytest.mark.parametrize("point", [(10.0, 0.1), (1000.0, 0.1), (10.0, 2.0), (1e5, 2.0)])
def test_quadrant_plot__the_dot_lies_in_its_field(point: tuple[float, float]) -> None:
    figure = quadrant_plot(
        point, (100.0, 0.3), ADVICE, label=EVIL, references={"near": 0.07, "nearer": 0.069}, **WORDS
    )
    root = parse(figure)
    here = next(r for r in root.iter(f"{SVG}rect") if r.get("class") == "blue1")
    x, y, width, height = (float(here.get(k, math.nan)) for k in ("x", "y", "width", "height"))
    dot = next(root.iter(f"{SVG}circle"))
    assert x <= float(dot.get("cx", 0)) <= x + width
    assert y <= float(dot.get("cy", 0)) <= y + height
    strong = [t.text for t in root.iter(f"{SVG}text") if t.get("class") == "on-blue1 strong"]
    assert " ".join(t or "" for t in strong) == f"advice {point[0] >= 100} {point[1] >= 0.3}"


def test_quadrant_plot__names_of_references_do_not_touch() -> None:
    figure = quadrant_plot(
        (10, 0.1), (100, 0.3), ADVICE, label="a", references={"one": 0.07, "two": 0.0701}, **WORDS
    )
    ys = [
        float(t.get("y", 0)) for t in parse(figure).iter(f"{SVG}text") if t.text in ("one", "two")
    ]
    assert abs(ys[0] - ys[1]) >= 12
