"""Pages of sections: the same facts as HTML, Markdown and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from headstart.plots import Line, line_plot
from headstart.runs.report.pages import Section, Table, render_page, write_page


def write(folder: Path) -> Path:
    figure = line_plot(
        [Line(label="a", x=[1, 2], y=[1, 2])],
        name="curve",
        title="t",
        description="d",
        x_axis="x",
        y_axis="y",
    )
    sections = [
        Section(heading="A | B", text=["<script>alert(1)</script>"], figure=figure, caption="c"),
        Section(
            heading="Table",
            table=Table(header=["", "value"], rows=[["one|two", "1"], ["x", "2"]], chosen=1),
        ),
        Section(heading="Picture", image=b"\x89PNG not really", caption="a picture"),
    ]
    return write_page(
        folder, "what", title="What", sentence="It is so.", sections=sections, found={"a": 1}
    )


def test_write_page__html_holds_all_and_runs_no_markup_of_the_data(tmp_path: Path) -> None:
    page = write(tmp_path / "new")
    html = page.read_text()
    assert page.name == "what.html"
    assert "&lt;script&gt;alert(1)" in html
    assert "<script" not in html
    assert 'class=""' not in html
    assert '<tr class="chosen"><th scope="row" class="whole">x' in html
    assert "data:image/png;base64,iVBORyBub3Q" in html
    assert "http-equiv" in html


def test_table__numbers_stand_to_the_right_and_words_to_the_left() -> None:
    header = ["run", "class", "accuracy, %", "difference", "nothing", "kernel", "words"]
    rows = [
        ["1", "lying", "90.0 [82.6, 94.5]", "", "", "[[1,0],[0,1]]", "200 words, hard"],
        ["2", "3 standing men", "no test images", "< 0.001", "", "1/9 × [[1]]", "64 Gaussians"],
        ["3", "sitting", "1 min 42 s", "+0.0 [−4.8, +4.8]", "", "[[2]]", "16 x 16 pixels"],
    ]
    table = Table(header=header, rows=rows)
    assert table.numeric == [False, False, True, True, False, True, False]
    page = render_page("", "What", "It is so.", [Section(heading="A", table=table)])
    assert '<th scope="col">class</th><th scope="col" class="number">accuracy' in page
    assert '<td data-label="class">lying</td>' in page
    assert Table(header=["a", "b"], rows=[]).numeric == [False, False]


def test_write_page__markdown_names_pictures_that_are_there(tmp_path: Path) -> None:
    write(tmp_path)
    text = (tmp_path / "what.md").read_text()
    assert "![c](what-0.svg)" in text
    assert "![a picture](what-2.png)" in text
    assert "| one\\|two | 1 |" in text
    root = ElementTree.fromstring((tmp_path / "what-0.svg").read_text())
    assert any(e.tag.endswith("style") for e in root)
    assert (tmp_path / "what-2.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "what.json").read_text()) == {"a": 1}
