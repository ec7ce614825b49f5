from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest

from headstart.plots.contours import Panel, contour, contour_plot

X = np.linspace(-2, 2, 81).tolist()
ROUND = np.add.outer(np.square(X), np.square(X))


def test_contour__of_a_bowl_is_one_closed_circle() -> None:
    (chain,) = contour(X, X, ROUND, 1.0)
    assert chain[0] == pytest.approx(chain[-1])
    assert [math.hypot(*point) for point in chain] == pytest.approx([1.0] * len(chain), abs=2e-3)


def test_contour__of_a_plane_is_one_open_line() -> None:
    values = np.tile(np.array(X), (len(X), 1))
    (chain,) = contour(X, X, values, 0.51)
    assert len(chain) == len(X)
    assert {round(x, 9) for x, _ in chain} == {0.51}
    assert sorted((chain[0][1], chain[-1][1])) == [-2, 2]


def test_contour__two_hills_are_two_rings_and_none_is_nothing() -> None:
    x, y = np.meshgrid(X, X)
    hills = np.exp(-8 * ((x - 1) ** 2 + y**2)) + np.exp(-8 * ((x + 1) ** 2 + y**2))
    assert len(contour(X, X, hills, 0.5)) == 2
    assert contour(X, X, hills, 3.0) == []


def test_contour__a_saddle_is_cut_without_crossing() -> None:
    chains = contour([0, 1], [0, 1], np.array([[1.0, 0.0], [0.0, 1.0]]), 0.5)
    assert sorted(len(chain) for chain in chains) == [2, 2]


def test_contour_plot__draws_path_goal_and_escapes_words() -> None:
    panel = Panel(
        label="<raw>", note="a & b", x=X, y=X, values=ROUND, levels=[0.5, 1.0],
        path=[(1.5, 1.0), (0.5, 0.2)], goal=(0.0, 0.0),
    )  # fmt: skip
    figure = contour_plot(
        [panel, panel], name="c", title="t", description="d", x_axis="u", y_axis="v"
    )
    root = ElementTree.fromstring(figure)
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("<raw>") == 2
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    assert len(list(root.iter("{http://www.w3.org/2000/svg}clipPath"))) == 2
