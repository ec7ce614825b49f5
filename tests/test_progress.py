"""Progress in a notebook, and none elsewhere."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from headstart import progress


class Display:
    """Notes what a notebook would draw."""

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.drawn.append(content["text/html"])

    def __call__(self, content: dict[str, str], *, raw: bool, display_id: bool) -> Display:
        assert display_id
        self.update(content, raw=raw)
        return self


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Display:
    shown = Display()
    python: Any = ModuleType("IPython")
    python.get_ipython = lambda: SimpleNamespace(kernel=object())
    display: Any = ModuleType("IPython.display")
    display.display = shown
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def test_in_notebooks__draws_the_first_and_the_last_of_a_stage(notebook: Display) -> None:
    for done in range(101):
        progress.in_notebooks("read <images>", done, 100)
    assert "read &lt;images&gt;: 0 of 100" in notebook.drawn[0]
    assert "100 <progress" in notebook.drawn[-1]
    assert len(notebook.drawn) < 20  # not a drawing an image


def test_in_notebooks__a_stage_that_comes_again_has_a_bar_of_its_own(notebook: Display) -> None:
    for _ in range(2):
        progress.in_notebooks("stage", 1, 1)
    assert sum("stage <progress" in drawn for drawn in notebook.drawn) == 4


def test_in_notebooks__elsewhere_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    progress.in_notebooks("read images", 1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("stage", "done", "total", "said"),
    [
        ("refit", 3, 4, "3 of 4 candidates"),
        ("refit", 4, 4, "4 candidates"),
        ("train networks", 1, 2, "1 of 2 trainings"),  # and not the steps of "train"
        ("fine-tune, part 2", 10, 1200, "10 of 1,200 steps"),
        ("distance photos", 5, 9, "5 of 9 images"),
        ("something new", 1, 2, "1 of 2"),
        ("report", 0, 1, ""),
    ],
)
def test_share_done__says_what_is_counted(stage: str, done: int, total: int, said: str) -> None:
    assert progress.share_done(stage, done, total) == said


def test_bar_html__says_what_is_left() -> None:
    assert "2 of 8, 30 s left" in progress.bar_html("stage", 2, 8, 10.0)
    assert "left" not in progress.bar_html("stage", 0, 0, 0.0)
