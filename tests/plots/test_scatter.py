"""Scatter plots: every point there, wrong ones told by shape, names that break nothing."""

from __future__ import annotations

from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import pytest

from headstart.plots import scatter_plot
from headstart.plots.svg import text_width

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>\n\"'&\x1b \udcff"
WORDS: dict[str, Any] = {"name": "f", "title": EVIL, "description": EVIL}


def test_scatter_plot__draws_right_ones_as_circles_and_wrong_ones_as_crosses() -> None:
    places = [(0.0, 0.0), (1.0, 0.5), (0.5, 0.25)]
    labels = [EVIL, "b", "b"]
    figure = scatter_plot(places, [False, True, False], labels=labels, tips=labels, **WORDS)
    root = ElementTree.fromstring(figure.encode())
    circles = [c.attrib for c in root.iter(f"{SVG}circle")]
    assert len(circles) == 2
    assert len(list(root.iter(f"{SVG}path"))) == 1
    assert len(list(root.iter(f"{SVG}text"))) == 2
    width, height = (float(root.attrib[k]) for k in ("width", "height"))
    assert height < width, "as flat as the places"
    low = next(c for c in circles if float(c["cx"]) < width / 4)
    assert float(low["cy"]) > height / 2, "y rises upwards"


@pytest.mark.parametrize("n", [2, 12, 40])
def test_scatter_plot__no_name_covers_another_or_leaves_the_figure(n: int) -> None:
    names = [f"a class with a long name {i}" for i in range(n)]
    places = [(0.5 + 0.001 * i, 0.5) for i in range(n)]  # one on the other
    figure = scatter_plot(places, [False] * n, labels=names, **WORDS)
    root = ElementTree.fromstring(figure.encode())
    texts = list(root.iter(f"{SVG}text"))
    assert len({t.text for t in texts}) == n
    boxes = []
    for t in texts:
        x, y, half = float(t.attrib["x"]), float(t.attrib["y"]), text_width(t.text or "") / 2
        boxes.append((x - half, x + half, y - 9, y + 3))
    assert all(
        a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2]
        for a, b in combinations(boxes, 2)
    )
    width, height = (float(root.attrib[k]) for k in ("width", "height"))
    assert all(b[0] >= 0 and b[1] <= width and b[2] >= 0 and b[3] <= height for b in boxes)


def test_scatter_plot__a_name_stands_in_the_middle_of_its_class_where_it_is_free() -> None:
    places = [(0.2, 0.1), (0.2, 0.3), (0.8, 0.9), (0.8, 0.7)]
    figure = scatter_plot(places, [False] * 4, labels=["a", "a", "b", "b"], **WORDS)
    root = ElementTree.fromstring(figure.encode())
    at = {t.text: t.attrib for t in root.iter(f"{SVG}text")}
    own = [float(c.attrib["cx"]) for c in root.iter(f"{SVG}circle")]
    assert float(at["a"]["x"]) == min(own)
    assert float(at["b"]["x"]) == max(own)
    assert not list(root.iter(f"{SVG}line"))


def test_scatter_plot__needs_points() -> None:
    with pytest.raises(ValueError, match="one or more points"):
        scatter_plot([], [], **WORDS)
