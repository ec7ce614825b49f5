"""Progress in a log: a line now and then, with the time left."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from headstart.cli import console
from headstart.cli.bars import Bars


def test_warnings__go_to_what_is_standard_error_then(
    headstart: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    headstart("--version")
    monkeypatch.setattr(sys, "stderr", bars := io.StringIO())  # as Rich does while it draws
    logging.getLogger("headstart.data").warning("look")
    assert bars.getvalue() == "headstart: warning: look\n"


def test_progress_bars__tell_of_a_long_stage_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "LINE_EVERY_S", 0.05)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    with console.progress_bars() as progress:
        progress("cross-validate", 2, 8)
        progress("count words", 0, 1)
        time.sleep(0.3)
        progress("count words", 1, 1)
        time.sleep(0.3)
        progress("cross-validate", 8, 8)
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "cross-validate: 8 candidates in 1 s"
    assert "count words: 0 s" in lines  # the innermost stage
    assert not any("done in 0 s" in line for line in lines)  # too short to be told
    assert any(line.startswith("cross-validate: 2 of 8 candidates in ") for line in lines)


def test_answer__names_the_page_and_every_other_file(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"sentence": "Done."}
    page, files = Path("a") / "map.html", [Path("a") / "explore.html", Path("a") / "x.csv"]
    console.answer(found, page, lambda *_: None, as_json=False, files=files)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Done."
    assert [line.split() for line in lines[1:]] == [
        ["page", str(page)],
        *(["file", str(file)] for file in files),
    ]
    console.answer(found, page, lambda *_: None, as_json=True, files=files)
    assert "explore" not in capsys.readouterr().out


def test_print_answer__says_the_comparison_once() -> None:
    detail = "The usual layer, conv_head at 224 px, is 7.5 points lower on the same examples."
    for sentence, shown in [
        (
            "Layer a: 87.5 % on 40 test images; the usual layer, conv_head, is 7.5 points lower.",
            False,
        ),
        ("Layer a: 87.5 % on 40 test images; it is the usual layer.", True),
    ]:
        out = console.console()
        with out.capture() as captured:
            console.print_answer(sentence, detail, out)
        said = " ".join(captured.get().split())
        assert (sentence in said) is shown
        assert said.count("usual layer") == 1 + shown


def test_bars__the_name_of_a_stage_is_shown_as_it_is() -> None:
    out = io.StringIO()
    bars = Bars(Console(file=out, force_terminal=True, width=120))
    with bars.shown:
        bars("distance [red]a\x1b[2J", 1, 2)
    assert "distance [red]a\\x1b[2J" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
