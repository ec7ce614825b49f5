"""Scatter plots: every point there, wrong ones told by shape, names that break nothing."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from headstart.plots import scatter_plot

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


def test_scatter_plot__needs_points() -> None:
    with pytest.raises(ValueError, match="one or more points"):
        scatter_plot([], [], **WORDS)
