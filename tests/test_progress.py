"""Progress in a notebook and on a terminal, and none elsewhere."""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from headstart import progress
from headstart.errors import InputError


class Display:
    """Notes what a notebook would draw."""

    def __init__(self) -> None:
        self.drawn: list[str] = []
        self.n_displays = 0

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.drawn.append(content["text/html"])

    def __call__(self, content: dict[str, str], *, raw: bool, display_id: bool) -> Display:
        assert display_id
        self.n_displays += 1
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


def pretend_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a test, not a fixture: pytest sets standard error anew between the two."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")


def test_automatic__draws_the_first_and_the_last_of_a_stage_in_a_notebook(
    notebook: Display,
) -> None:
    for done in range(101):
        progress.automatic("read <images>", done, 100)
    assert "read &lt;images&gt;: 0 of 100" in notebook.drawn[0]
    assert "100 <progress" in notebook.drawn[-1]
    assert len(notebook.drawn) < 20  # not a drawing an image


def test_automatic__a_stage_that_comes_again_has_a_bar_of_its_own(notebook: Display) -> None:
    progress.automatic("stage", 2, 4)  # cut off by an error
    for _ in range(2):
        progress.automatic("stage", 1, 1)
    assert notebook.n_displays == 3
    progress.automatic("stage", 0, 4)  # cut off before anything was done
    progress.automatic("stage", 0, 4)
    assert notebook.n_displays == 5
    progress.automatic("stage", 4, 4)


def test_automatic__draws_over_one_line_of_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_terminal(monkeypatch)
    now = iter(range(0, 1000, 5))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    for done in (0, 60, 120):
        progress.automatic("extract features", done, 120)
    progress.automatic("report", 1, 1)
    said = capsys.readouterr().err
    first, *drawn = [part for part in said.split("\r") if part]
    assert "60 of 120" in drawn[0], "each drawing ends at the start of its line"
    assert said.count("\r\r") == 2
    assert first.startswith("[................] extract features: 0 of 120 crops in ")
    assert drawn[0].startswith("[########........] extract features: 60 of 120 crops in ")
    assert "left" in drawn[0]
    assert drawn[1].startswith("extract features: 120 crops in ")
    assert drawn[1].endswith("\n")
    assert all(len(line.rstrip("\n")) <= 79 for line in drawn)
    monkeypatch.setenv("COLUMNS", "60")  # too narrow for the bar, not for the time left
    progress.automatic("extract features", 60, 120)
    assert capsys.readouterr().err.startswith("\rextract features: 60 of 120 crops in ")


def test_automatic__a_stage_that_ends_at_once_leaves_no_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_terminal(monkeypatch)
    progress.automatic("report", 0, 1)
    progress.automatic("report", 1, 1)
    said = capsys.readouterr().err
    assert "\n" not in said
    assert said.endswith(" \r")


def test_automatic__elsewhere_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    progress.automatic("read images", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_resolve__takes_true_false_and_functions() -> None:
    assert progress.resolve(True) is progress.automatic
    assert progress.resolve(False) is progress.silent

    def tell(stage: str, done: int, total: int) -> None: ...

    assert progress.resolve(tell) is tell
    for wrong in (None, "yes", 1):
        with pytest.raises(InputError, match="progress must be True, False or a function"):
            progress.resolve(cast("bool", wrong))


def test_stage_line__tells_the_time_left_from_the_time_spent() -> None:
    assert progress.stage_line("index", 0, 8, 20) == "index: 0 of 8 in 20 s"
    assert progress.stage_line("index", 2, 8, 20) == "index: 2 of 8 in 20 s, about 60 s left"
    assert progress.stage_line("load", 0, 1, 20) == "load: 20 s"
    assert progress.stage_line("load", 1, 1, 20) == "load: done in 20 s"
    assert progress.stage_line("refit", 3, 3, 20) == "refit: 3 candidates in 20 s"
    # Heard of after 10 s: the pace is that, and 5 s of what was left have passed.
    assert progress.stage_line("index", 2, 8, 15, 10) == "index: 2 of 8 in 15 s, about 25 s left"


def test_stage_line__gives_a_lower_bound_where_the_first_parts_are_the_quickest() -> None:
    assert progress.stage_line("compare", 2, 8, 20).endswith("at least 60 s left")


def test_whole__advances_by_the_cost_of_its_parts() -> None:
    told: list[tuple[str, int, int]] = []
    whole = progress.Whole(lambda *event: told.append(event), "compare networks", {"a": 1, "b": 9})
    tell = whole.part("a")
    tell("extract features, a", 1, 2)
    assert told[-2:] == [("extract features, a", 1, 2), ("compare networks", 50, 1000)]
    whole.end("a")
    whole.part("b")("extract features, b", 3, 3)  # something of b is still to come
    assert told[-1] == ("compare networks", 999, 1000)
    assert len(told) == len(set(told)), "a share is not reported twice"
    whole.end("b")
    assert told[-1] == ("compare networks", 1000, 1000)
    assert [done for stage, done, _ in told if stage == "compare networks"] == [
        0,
        50,
        100,
        999,
        1000,
    ]
    assert progress.share_done(*told[-1]) == "100 %"
    assert "9 % in 20 s, about 3 min left" in progress.stage_line("compare networks", 95, 1000, 20)


def test_whole__without_cost_ends_at_once() -> None:
    told: list[tuple[str, int, int]] = []
    progress.Whole(lambda *event: told.append(event), "compare sets", {})
    assert told == [("compare sets", 1000, 1000)]


@pytest.mark.parametrize(("done_after_s", "left"), [(10, "80 s"), (0, "2 min")])
def test_stage_line__a_slow_item_is_taken_into_the_pace(done_after_s: float, left: str) -> None:
    line = progress.stage_line("train networks", 1, 2, 100, done_after_s)
    assert line.endswith(f"in 100 s, about {left} left")


@pytest.mark.parametrize(("done", "step"), [(1, 1), (64, 64), (640, 64)])
def test_stage_line__the_time_left_never_jumps(done: int, step: int) -> None:
    seconds = [progress._seconds_left(done, 1000, 1 + i / 10, 1.0, step) for i in range(200)]
    assert seconds[0] == pytest.approx((1000 - done) / done)
    for one, other in pairwise(seconds):  # 0.1 s later
        assert abs(other - one) < 0.1 * 2 * 1000 / step


def test_stage_line__a_name_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in progress.stage_line("distance \x1b[2J", 1, 2, 1)
    assert "\x1b" not in progress.stage_line("distance \x1b[2J", 1, 1, 1)
    assert "\x1b" not in progress.bar_html("distance \x1b[2J", 1, 2, 1)


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
