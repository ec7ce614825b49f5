"""What README and docs say of commands, links, names and dependencies is so."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import itertools
import logging
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import headstart
from headstart.backbones import Entry, catalogue
from headstart.cli import app as cli

ROOT = Path(__file__).resolve().parents[1]
GUIDE = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*GUIDE, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]
SHELL_ENDS = {"|", ">", ">>", "<", "&&", "||", ";", "&", "2>"}


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The contents of the fenced blocks of a page in one of ``languages``."""
    for language, content in re.findall(
        r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        if language in languages:
            yield content


def shell_lines(page: Path) -> Iterator[str]:
    """The command lines of a page: all of an ``sh`` block, those after ``$`` of a ``console`` one."""
    for content in blocks(page, "sh", "bash"):
        yield from content.replace("\\\n", " ").splitlines()
    for content in blocks(page, "console"):
        lines = content.replace("\\\n", " ").splitlines()
        yield from (line[2:] for line in lines if line.startswith("$ "))


def calls(line: str, program: str) -> Iterator[list[str]]:
    """The arguments of each call of ``program`` on a command line."""
    part: list[str] = []
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.commenters, lexer.whitespace_split = "#", True
    for word in [*lexer, ";"]:
        if word not in SHELL_ENDS:
            part.append(word)
            continue
        while part and re.match(r"[A-Z_]+=", part[0]):
            part.pop(0)
        if part and part[0] == program:
            yield part[1:]
        part = []


def calls_in(pages: list[Path], program: str) -> list[Any]:
    """Every call of ``program`` in the pages, as parameters of a test."""
    return [
        pytest.param(words, id=f"{page.name}: {shlex.join(words)}")
        for page in pages
        for line in shell_lines(page)
        for words in calls(line, program)
    ]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    plain = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def normal(name: str) -> str:
    """A package's name as the registry compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def command() -> Any:
    """The command line's parser; what its start sets up besides (logging, a variable) is undone."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setenv("HEADSTART_QUIET", "")
        assert cli.run(["--help"]) == 0
    root.handlers[:] = handlers
    return typer.main.get_command(cli.app)


@pytest.mark.parametrize("words", calls_in(PAGES, "headstart"))
def test_commands__parse(words: list[str], command: Any) -> None:
    verb, *rest = [word for word in words if word not in cli.GLOBAL_FLAGS]
    assert verb in command.commands
    try:
        command.commands[verb].make_context(verb, rest)
    except typer.Exit:
        assert {"--help", "-h"} & set(rest)


def test_commands__are_found_at_all() -> None:
    assert len(calls_in(PAGES, "headstart")) > 20
    line = "NO_COLOR=1 headstart fit 'a b/' --seed 1 > x && make demo  # headstart no"
    assert list(calls(line, "headstart")) == [["fit", "a b/", "--seed", "1"]]


@pytest.mark.parametrize(
    "words", [["fit", "x", "--sed", "1"], ["fit"], ["fit", "x", "--seed", "a"]]
)
def test_commands__a_wrong_one_would_be_told(words: list[str], command: Any) -> None:
    with pytest.raises(typer.exceptions.TyperException):
        command.commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("words", calls_in(PAGES, "make"))
def test_make_targets__exist(words: list[str]) -> None:
    rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(words) <= set(rules)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links__lead_somewhere(page: Path) -> None:
    plain = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", plain):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = page.parent / name if name else page
        assert there.is_file(), target
        assert not anchor or anchor in headings(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python__names_what_exists(page: Path) -> None:
    for content in blocks(page, "python"):
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "headstart":
                assert node.attr in headstart.__all__
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("headstart"):
                public = importlib.import_module(node.module or "").__all__
                assert {alias.name for alias in node.names} <= set(public)


def test_index__links_to_every_page() -> None:
    text = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = [page.name for page in GUIDE if page.parent.name == "docs" and page.stem != "index"]
    assert [name for name in pages if f"({name}" not in text] == []


def test_dependencies__have_a_reason_each() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = itertools.chain.from_iterable(project["optional-dependencies"].values())
    asked = [*project["dependencies"], *extras]
    names = {normal(re.split(r"[^\w.-]", need)[0]) for need in asked} - {"headstart"}
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    rows = re.findall(r"^\|(?: `\w+` \|)? `([\w.-]+)` \| (\S.*) \|$", page, re.MULTILINE)
    assert names - {normal(name) for name, _ in rows} == set()


@pytest.mark.parametrize("entry", catalogue(), ids=lambda e: e.name)
def test_weights__are_listed_with_their_licence(entry: Entry) -> None:
    page = (ROOT / "docs" / "backbones.md").read_text("utf-8").split("## Weights", 1)[1]
    row = re.search(rf"^\| `{re.escape(entry.name)}` \|.*$", page, re.MULTILINE)
    assert row, f"{entry.name} is not in the table of docs/backbones.md"
    cells = [cell.strip() for cell in row[0].strip("|").split("|")]
    assert (cells[1], cells[4], cells[5]) == (entry.source, str(entry.size_px), entry.licence)
