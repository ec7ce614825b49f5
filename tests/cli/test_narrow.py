"""Help in few columns: nothing is cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headstart.cli.app import whole_command
from headstart.cli.console import console, print_prose

BOXED = {("fit",), ("finetune",), ("transfer", "similarity"), ("augment", "search")}


def paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from paths(inner, (*path, name))


@pytest.mark.parametrize("width", [40, 80])
def test_help__names_every_option_uncut(
    headstart: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for path, command in paths(whole_command()):
        if width >= 80 and path not in BOXED:  # Rich takes long
            continue
        said = headstart(*path, "--help")
        assert said.code == 0
        assert "…" not in said.out, path
        # A longer word, such as a name in an example to copy, stands whole on a line of its own.
        lines = [line for line in said.out.splitlines() if width >= 80 or " " in line.strip()]
        assert max(map(len, lines)) <= width, path
        assert "list[" not in said.out, path
        words = set(said.out.replace(",", " ").replace("/", " ").split())
        for param in (p for p in command.params if p.param_type_name == "option"):
            assert words.issuperset(() if param.hidden else param.opts), path


def test_print_prose__is_wrapped_between_words_where_there_are_few_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "note: " + "fewer than 10 test images of every class " * 4
    for width, n_lines in ((40, 5), (100, 1)):
        monkeypatch.setenv("COLUMNS", str(width))
        print_prose(text, console())
        said = capsys.readouterr().out
        assert said.split() == text.split()
        assert len(said.splitlines()) == n_lines  # a pipe keeps long lines whole


def test_help__in_few_columns_a_group_shows_its_verbs(
    headstart: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    said = headstart("transfer")
    assert (said.code, said.err) == (2, "")
    assert "profile" in said.out
    assert "..." not in said.out.replace("[ARGS]...", "")
