"""``headstart describe``."""

from __future__ import annotations

import json
from pathlib import Path


def test_describe__prints_the_table_of_vgg16(headstart) -> None:
    said = headstart("describe", "vgg16")
    assert said.code == 0
    lines = [line.split() for line in said.out.splitlines()]
    assert lines[3][:9] == ["conv1_1", "conv", "64", "224", "x", "224", "3x3", "1", "relu"]
    assert "138,357,544 parameters" in said.out
    assert next(line for line in lines if line[:1] == ["fc8"])[5:7] == ["-", "softmax"]


def test_describe__writes_markdown_html_and_json(headstart, tmp_path: Path) -> None:
    markdown = headstart("describe", "alexnet", "--format", "markdown").out
    assert "| conv1 | conv | 64 | 55 x 55 | 11x11 | 4 | relu |" in markdown
    page = tmp_path / "alexnet.html"
    assert headstart("describe", "alexnet", "--format", "html", "--out", page).out == ""
    written = page.read_text(encoding="utf-8")
    assert written.startswith("<!doctype html>")
    assert "11x11" in written
    found = json.loads(headstart("describe", "alexnet", "--json").out)
    assert found["n_parameters"] == 61_100_840
    assert found["rows"][1]["kernel"] == [11, 11]


def test_describe__says_bad_input_in_one_line(fails) -> None:
    assert "unknown backbone" in fails("describe", "vgg61")
    assert "--format must be text, markdown, html or json; got 'latex'" in fails(
        "describe", "vgg16", "--format", "latex"
    )
    assert "cannot take an input" in fails("describe", "alexnet", "--size", 4)
