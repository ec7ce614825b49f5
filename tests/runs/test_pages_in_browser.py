"""The pages in a real browser: light and dark, on a desk, a phone and paper, by keyboard, by axe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from example_metrics import big, example_run, regimes, scenes, tiny

from headstart import fit, plots
from headstart.runs.report import comparison, render
from headstart.runs.report.pages import Section, Table, render_page
from headstart.runs.report.side_by_side import comparison_page
from headstart.runs.result import metrics_from
from headstart.runs.run import Run
from headstart.runs.side_by_side import side_by_side

DESK, PHONE = (1280, 900), (390, 844)
Pages = dict[str, str]


def wide_page() -> str:
    """A verb's page with a long name, a wide table and a figure."""
    rows = [
        [f"blocks.{i}.with_a_long_name_that_cannot_be_broken"] + [f"{i}.{k}" for k in range(12)]
        for i in range(5)
    ]
    line = plots.line_plot(
        [plots.Line(label="train", x=[1, 2, 3], y=[70.0, 80.0, 90.0])],
        name="curve",
        title="Accuracy by epoch",
        description="it rises",
        x_axis="epoch",
        y_axis="accuracy, %",
    )
    table = Table(header=["layer", *(f"column {k}" for k in range(12))], rows=rows, chosen=1)
    section = Section(heading="All of it", text=["What it says."], figure=line, caption="Rising.")
    return render_page(
        "wide",
        "A wide page",
        "The answer comes first.",
        [section, Section(heading="As numbers", table=table)],
    )


@pytest.fixture(scope="module")
def pages(
    run: Run, shapes: Path, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """HTML files by name: of real runs, of runs as large as real ones, of a verb."""
    folder = tmp_path_factory.mktemp("pages")
    small = fit(
        shapes, out=folder / "small", cache=store, resolutions=(64,), seed=3, Cs=(0.1,)
    )  # fmt: skip
    texts = {
        "scenes": render(example_run(), metrics_from(scenes()), {}),
        "tiny": render(example_run(), metrics_from(tiny()), {}),
        "big": render(example_run(), metrics_from(big()), {}),
        "regimes": comparison.render(regimes()),
        "side-by-side": comparison_page(side_by_side([run, small])),
        "wide": wide_page(),
    }
    found = {"run": run.folder / "report.html"}
    for name, text in texts.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(text, encoding="utf-8")
    return found


@pytest.fixture
def visit(browser: Any, pages: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    """Open one of the pages; in the end none may have asked for anything or have failed."""
    faults: list[str] = []
    contexts = []

    def open_page(name: str, size: tuple[int, int] = DESK, scheme: str = "light") -> Any:
        view = {"width": size[0], "height": size[1]}
        context = browser.new_context(viewport=view, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.goto(pages[name].as_uri())
        page.on("request", lambda request: faults.append(request.url))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


NAMES = ["run", "scenes", "tiny", "big", "regimes", "side-by-side", "wide"]


@pytest.mark.parametrize("name", NAMES)
def test_page__axe_finds_nothing_serious(
    name: str, visit: Callable[..., Any], serious: Callable[[Any], list[str]]
) -> None:
    assert serious(visit(name)) == []
    assert serious(visit(name, PHONE, "dark")) == []


@pytest.mark.parametrize("name", NAMES)
def test_page__fits_a_phone(name: str, visit: Callable[..., Any]) -> None:
    page = visit(name, PHONE)
    page.add_style_tag(content="details{}")  # the page is laid out
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    cut = page.evaluate(
        """[...document.querySelectorAll('p, h1, h2, h3, li, dd, figcaption')]
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll'))
        .map(e => e.textContent.slice(0, 80))"""
    )
    assert cut == []


@pytest.mark.parametrize("width", [390, 1280, 1920])
@pytest.mark.parametrize("name", NAMES)
def test_page__nothing_is_cut_or_stacked(
    name: str, width: int, visit: Callable[..., Any], layout_faults: Callable[[Any], list[str]]
) -> None:
    page = visit(name, (width, 900))
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert layout_faults(page) == []
    cut = page.evaluate(
        """[...document.querySelectorAll('.scroll:has(table):not(.tall)')]
        .filter(e => e.scrollWidth > e.clientWidth).map(e => e.getAttribute('aria-label'))"""
    )
    assert cut == [] or width < 1280 or name == "wide"  # that one has too many columns for any desk
    if width == PHONE[0]:
        assert (
            page.evaluate(
                """[...document.querySelectorAll('.scroll:has(table.stacks)')]
            .filter(e => e.scrollWidth > e.clientWidth).map(e => e.getAttribute('aria-label'))"""
            )
            == []
        )
        unnamed = "table.stacks td:not(:empty):not(.spark):not([data-label])"
        assert page.locator(unnamed).count() == 0
    broken = """[...document.querySelectorAll('.word')].filter(e =>
        e.getClientRects().length && e.offsetHeight > 1.9 * parseFloat(getComputedStyle(e).fontSize)
        && e.offsetWidth < 0.8 * e.parentElement.offsetWidth).map(e => e.textContent)"""
    assert page.evaluate(broken) == [], "a word of a command is broken though it has room"


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("name", NAMES)
def test_page__the_first_screen_answers(
    name: str, size: tuple[int, int], visit: Callable[..., Any]
) -> None:
    page = visit(name, size)
    bottom = "e => e.getBoundingClientRect().bottom"
    assert page.locator("h1").evaluate(bottom) < size[1]
    if page.locator(".big").count():
        assert page.locator(".big").evaluate(bottom) < size[1]
        assert page.locator(".big + p").evaluate(bottom) < size[1]  # the interval with it


def test_page__by_keyboard_alone(visit: Callable[..., Any]) -> None:
    page = visit("scenes")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    skip = page.locator(".skip").bounding_box()
    assert skip is not None
    assert skip["x"] >= 0  # it shows once it has the focus
    page.keyboard.press("Enter")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"
            )
        )
        width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert float(width.removesuffix("px")) >= 2
    assert "Table of classes" in reached
    recall = page.get_by_role("button", name="Recall, %")
    recall.focus()
    page.keyboard.press("Enter")
    cells = page.locator("table.sortable:not(.wide) tbody tr td.number:nth-child(2)")
    values = [float(v) for v in cells.evaluate_all("all => all.map(e => e.dataset.sort)")]
    assert values == sorted(values)
    assert len(values) == 15


def test_page__on_a_phone_tables_are_sorted_and_keep_their_heads(
    visit: Callable[..., Any],
) -> None:
    page = visit("scenes", PHONE)
    heads = page.locator("table.sortable:not(.wide) thead button")
    assert heads.count() >= 6
    assert all(heads.nth(i).is_visible() for i in range(heads.count()))
    page.get_by_role("button", name="Recall, %").click()
    cells = page.locator("table.sortable:not(.wide) tbody tr td.number:nth-child(2)")
    values = [float(v) for v in cells.evaluate_all("all => all.map(e => e.dataset.sort)")]
    assert values == sorted(values)
    hidden = visit("wide", PHONE).locator("table.stacks thead").bounding_box()
    assert (hidden["width"], hidden["height"]) == (1, 1), "there for a screen reader"


def test_page__on_paper_everything_is_black_on_white_and_nothing_is_cut(
    visit: Callable[..., Any],
) -> None:
    page = visit("scenes", scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, dark.removeprefix("rgb(").removesuffix(")").split(","))) < 150
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav.contents").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.tall')).maxHeight") == "none"
    assert page.locator("td.spark svg").first.evaluate("e => e.getBoundingClientRect().width") > 100
    assert not page.locator("details:not([open]) summary").first.is_visible()  # nothing to press
    assert page.pdf(format="A4").startswith(b"%PDF")
