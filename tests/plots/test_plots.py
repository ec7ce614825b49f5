"""Figures: well-formed, complete, in the right place, and readable in both themes."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from headstart import plots
from headstart.plots import colour, layermap, svg

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>\n\"'&\x1b \udcff"
WORDS: dict[str, Any] = {"name": "f", "title": EVIL, "description": EVIL}


def parse(figure: str) -> ElementTree.Element:
    return ElementTree.fromstring(figure.encode("utf-8"))


def texts(root: ElementTree.Element) -> list[str]:
    return [t.text or "" for t in root.iter(f"{SVG}text")]


def tips(root: ElementTree.Element) -> list[str]:
    return [t.text or "" for t in root.iter(f"{SVG}title")][1:]


def row(label: str, value: float, **more: object) -> plots.IntervalRow:
    return plots.IntervalRow(label=label, value=value, low=value - 1, high=value + 1, **more)  # type: ignore[arg-type]


FIGURES = {
    "layer map": plots.layer_map(
        [EVIL], [224], {(EVIL, 224): 91.0}, marks={(EVIL, 224): "chosen"}, **WORDS
    ),
    "intervals": plots.interval_plot([row(EVIL, 3, mark="best")], axis=EVIL, **WORDS),
    "confusion": plots.confusion_matrix([EVIL, "b"], [[1, 2], [0, 0]], **WORDS),
    "big confusion": plots.confusion_matrix([EVIL] * 40, [[1] * 40] * 40, **WORDS),
    "curve": plots.line_plot(
        [plots.Line(label=EVIL, x=[0.1, 1], y=[90, 91])],
        star=(1, 91),
        log_x=True,
        x_axis=EVIL,
        y_axis=EVIL,
        **WORDS,
    ),
    "bars": plots.stacked_bars([EVIL], [[3, 0, 1]], ["train", "val", "test"], **WORDS),
}


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_figures__are_xml_with_title_and_description_whatever_the_names(figure: str) -> None:
    root = parse(figure)
    assert root.get("role") == "img"
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert title.get("id") == root.get("aria-labelledby")
    assert description.get("id") == root.get("aria-describedby")
    assert title.text == "<script>\\n\"'&\\x1b \\udcff"
    assert root.find(f".//{SVG}script") is None


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_figures__take_every_colour_from_the_style_sheet(figure: str) -> None:
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b", figure)
    sheet = plots.stylesheet()
    used = {c for e in parse(figure).iter() for c in (e.get("class") or "").split()}
    assert all(f".{c}" in sheet for c in used)


def test_layer_map__numbers_stand_in_their_row_and_column() -> None:
    values: dict[tuple[str, int | str], float] = {
        ("a", 160): 60.0,
        ("a", 224): 70.04,
        ("b", 160): 80.0,
        ("b", 224): 90.0,
    }
    figure = plots.layer_map(["a", "b"], [160, 224], values, marks={("b", 224): "best"}, **WORDS)
    root = parse(figure)
    at = {t.text: (float(t.get("x", 0)), float(t.get("y", 0))) for t in root.iter(f"{SVG}text")}
    assert at["60.0"][1] == at["70.0"][1] < at["80.0"][1] == at["90.0"][1]
    assert at["60.0"][0] == at["80.0"][0] < at["70.0"][0] < at["90.0"][0]
    assert "b at 224 px: 90.0 % (highest)" in tips(root)
    assert "highest" in texts(root)
    assert "chosen" not in texts(root)


def test_layer_map__pair_not_measured_is_empty() -> None:
    figure = plots.layer_map(["a"], [160, 224], {("a", 160): 60.0}, marks={}, **WORDS)
    assert "a at 224 px: not measured" in tips(parse(figure))


@pytest.mark.parametrize(
    ("points", "step"), [(0, 7), (0.5, 7), (0.51, 6), (3, 4), (32, 1), (60, 0)]
)
def test_step_behind__is_strongest_near_the_best(points: float, step: int) -> None:
    assert layermap.step_behind(points) == step


def test_interval_plot__lines_run_from_low_to_high_on_one_scale() -> None:
    rows = [row("a", 10.0, second=(11.0, 10.5, 11.5)), row("b", 14.0)]
    root = parse(plots.interval_plot(rows, axis="x", **WORDS))
    lines = [e for e in root.iter(f"{SVG}line") if e.get("class") == "curve"]
    dots = [float(e.get("cx", 0)) for e in root.iter(f"{SVG}circle")]
    ends = [(float(e.get("x1", 0)), float(e.get("x2", 0))) for e in lines]
    scale = (dots[1] - dots[0]) / 4
    for dot, (low, high) in zip(dots, ends, strict=True):
        assert math.isclose(dot - low, scale, abs_tol=0.02)
        assert math.isclose(high - dot, scale, abs_tol=0.02)
    second = [e for e in root.iter(f"{SVG}line") if e.get("class") == "axis"]
    assert math.isclose(float(second[0].get("x1", 0)), dots[0] + 0.5 * scale, abs_tol=0.02)
    assert "10.0 [9.0, 11.0]" in texts(root)


def test_interval_plot__differences_carry_signs_and_a_zero_line() -> None:
    rows = [plots.IntervalRow(label="a", value=-0.04, low=-0.9, high=0.3)]
    root = parse(plots.interval_plot(rows, axis="x", zero=True, **WORDS))
    assert "0.0 [−0.9, +0.3]" in texts(root)
    assert [e for e in root.iter(f"{SVG}line") if e.get("stroke-dasharray")]


def test_small_interval__stays_on_its_line_and_is_hidden_from_readers() -> None:
    root = parse(
        '<g xmlns="http://www.w3.org/2000/svg">' + plots.small_interval(1, -0.2, 1.3) + "</g>"
    )
    picture = root[0]
    assert picture.get("aria-hidden") == "true"
    assert [float(e.get("x2", 0)) for e in picture.iter(f"{SVG}line")] == [105, 105]


def test_confusion_matrix__diagonal_is_blue_and_mistakes_are_orange() -> None:
    root = parse(plots.confusion_matrix(["a", "b"], [[9, 1], [4, 0]], **WORDS))
    boxes = [(e[0].text or "", e.get("class")) for e in root.iter(f"{SVG}rect")]
    assert boxes == [
        ("true a, predicted a: 9 of 10 (90.0 %)", "blue6"),
        ("true a, predicted b: 1 of 10 (10.0 %)", "orange4"),
        ("true b, predicted a: 4 of 4 (100.0 %)", "orange7"),
        ("true b, predicted b: 0 of 4 (0.0 %)", "empty"),
    ]


def test_confusion_matrix__thousand_classes_stay_light() -> None:
    n = 1000
    counts = [[int(i == j) * 40 + int((i + j) % 20 == 0) for j in range(n)] for i in range(n)]
    assert len(plots.confusion_matrix([f"c{i}" for i in range(n)], counts, **WORDS)) < 1_500_000


def test_line_plot__star_stands_on_the_chosen_point() -> None:
    line = plots.Line(label="a", x=[0.1, 1, 10], y=[90, 92, 91])
    root = parse(plots.line_plot([line], star=(1, 92), log_x=True, x_axis="C", y_axis="%", **WORDS))
    points = [e for e in root.iter(f"{SVG}path") if e.get("transform") and not e.get("class")]
    star = next(e for e in root.iter(f"{SVG}path") if e.get("class") == "mark")
    x, y = re.findall(r"[\d.]+", points[1].get("transform") or "")
    found = re.findall(r"[\d.]+", star.get("transform") or "")
    assert [float(v) for v in found] == pytest.approx([float(x), float(y)], abs=0.1)


def test_stacked_bars__lengths_are_proportional() -> None:
    root = parse(plots.stacked_bars(["a", "b"], [[10, 5], [20, 0]], ["train", "test"], **WORDS))
    widths = [float(e.get("width", 0)) for e in root.iter(f"{SVG}rect")][2:]
    assert math.isclose(widths[0], 2 * widths[1], abs_tol=0.02)
    assert math.isclose(widths[2], 2 * widths[0], abs_tol=0.02)
    assert "10 + 5" in texts(root)


@pytest.mark.parametrize(
    ("ramp", "page"),
    [
        (colour.BLUE_ON_LIGHT, "#ffffff"),
        (colour.ORANGE_ON_LIGHT, "#ffffff"),
        (colour.BLUE_ON_DARK, "#14181d"),
        (colour.ORANGE_ON_DARK, "#14181d"),
    ],
)
def test_ramps__rise_in_contrast_and_carry_readable_text(ramp: tuple[str, ...], page: str) -> None:
    strengths = [colour.contrast(step, page) for step in ramp]
    assert all(1.1 * a < b for a, b in pairwise(strengths))
    assert all(colour.contrast(step, colour.readable_on(step)) >= 4.5 for step in ramp)


def test_contrast__black_on_white_is_21() -> None:
    assert math.isclose(colour.contrast("#000000", "#ffffff"), 21)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.5, 1]), (86.2, 94.6, [88, 90, 92, 94]), (-3.9, 0.4, [-3, -2, -1, 0]), (5, 5, [5])],
)  # fmt: skip
def test_ticks__are_round_and_inside(low: float, high: float, expected: list[float]) -> None:
    assert svg.ticks(low, high) == pytest.approx(expected)


def test_tick_labels__share_their_decimals() -> None:
    assert svg.tick_labels([-0.5, 0.0, 0.5]) == ["−0.5", "0.0", "0.5"]


def test_shorten__keeps_both_ends() -> None:
    short = svg.shorten("features.denseblock4.denselayer16.conv2")
    assert len(short) == 26
    assert short.startswith("features.dense")
    assert short.endswith("16.conv2")
