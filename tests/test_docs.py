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
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

import headstart
from headstart.backbones import Entry, catalogue
from headstart.cli import app as cli

ROOT = Path(__file__).resolve().parents[1]
GUIDE = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BENCH = ROOT / "bench" / "README.md"
PAGES = [*GUIDE, BENCH, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]
GROUPS = {"augment", "baseline", "lab", "predict", "transfer"}
# Verbs whose commands are run as they stand, each with what makes it small.
TINY_SIFT = ("--words", "4", "--patches", "16", "--levels", "2", "--gaussians", "4", "--step", "4")
QUICK: dict[str, tuple[str, ...]] = {
    "kernels": (),
    "describe": (),
    "complexity": (),
    "predict imagenet": (),
    "augment preview": ("--size", "32"),
    "baseline sift": (*TINY_SIFT, "--size", "64"),
    "baseline pixels": ("--size", "64"),
    "lab augmentation": ("--seeds", "2", "--size", "32"),
    "lab normalise": ("--seeds", "2"),
    **{
        f"lab {name}": ("--seeds", "2", "--quick")
        for name in ("optimizers", "dropout", "batchnorm", "overfitting")
    },
}
WITHOUT_FIGURE = {"architectures.md", "imagenet.md", "compare.md", "retrieval.md"}
# What a page's command means by these names.
PICTURES = ("cat.jpg", "photo.jpg", "demo/cat.jpg")
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


def inline_lines(page: Path) -> Iterator[str]:
    """The commands that stand in code within the text: ```headstart lab dropout```."""
    yield from re.findall(r"`(headstart [^`\n]+)`", page.read_text(encoding="utf-8"))


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


def quick_calls() -> list[Any]:
    """What pages show of the verbs that need no data but a picture, or a small folder, each once."""
    found = []
    for page in [ROOT / "docs" / "lecture.md", *GUIDE]:
        inline = inline_lines(page) if page.stem in {"lecture", "labs"} else []
        for line in [*shell_lines(page), *inline]:
            for words in calls(line, "headstart"):
                verb = " ".join(words[:2]) if words[0] in GROUPS else words[0]
                is_known = not {"--backbone", "--weights"} & set(words) or "embedded" in words
                if verb in QUICK and is_known and words not in [p.values[0] for p in found]:
                    found.append(pytest.param(words, id=shlex.join(words)))
    return found


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


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that holds what the pages' commands name, in small."""
    rng = np.random.default_rng(0)
    for name in PICTURES:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(path)
    for label, level in (("dark", 60), ("bright", 190)):
        for i in range(12):
            path = tmp_path / "photos" / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.normal(level, 25, (48, 48, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", quick_calls())
def test_commands__of_quick_verbs_really_run(
    words: list[str], at_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [w for w in words[1:] if re.search(r"/$|\.csv$|^\.\./|^policy.json$", w)]
    if absent := [w for w in asked if not (at_home / w).exists()]:
        pytest.skip(f"there is no {' and no '.join(absent)} here")
    verb = " ".join(words[:2]) if words[0] in GROUPS else words[0]
    # Of an option given twice the last one counts.
    code = cli.run([*words, *QUICK[verb]])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert said.out.strip() or said.err.strip()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(words, id=shlex.join(words))
        for name in ("lecture", "labs")
        for line in inline_lines(ROOT / "docs" / f"{name}.md")
        for words in calls(line, "headstart")
        if len(words) > 1
    ],
)
def test_commands__within_the_text_parse(words: list[str], command: Any) -> None:
    test_commands__parse(words, command)


def test_lecture__leads_to_pages_with_command_figure_and_paper() -> None:
    lecture = ROOT / "docs" / "lecture.md"
    rows = re.findall(r"^\| .* \| \[.*\]\((\w[\w-]*\.md)", lecture.read_text("utf-8"), re.MULTILINE)
    assert len(set(rows)) > 20
    for name in sorted(set(rows)):
        page = ROOT / "docs" / name
        text = page.read_text("utf-8")
        assert any(calls(line, "headstart") for line in shell_lines(page)), name
        # Two pages show what a command prints instead of a picture, two what it writes of one's own.
        if name not in WITHOUT_FIGURE:
            assert re.search(r"^!\[.+\]\((figures|evidence)/", text, re.MULTILINE), name


def test_figures__are_those_that_the_script_makes_and_the_pages_show() -> None:
    shown = {
        target
        for page in GUIDE
        for target in re.findall(
            r'(?:\]\(|src(?:set)?="docs/)figures/([\w.-]+)[)"]', page.read_text("utf-8")
        )
    }
    there = {path.name for path in (ROOT / "docs" / "figures").iterdir()}
    script = (ROOT / "tools" / "figures.py").read_text("utf-8")
    made = set(re.findall(r'"([\w-]+\.(?:svg|png))"', script)) - set(
        re.findall(r'"([\w-]+-\d\.(?:svg|png))":', script)
    )
    assert shown == there == made
    assert sum(p.stat().st_size for p in (ROOT / "docs" / "figures").iterdir()) < 2_000_000


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


def test_make_clean__leaves_the_runs_of_the_user() -> None:
    said = subprocess.run(["make", "-n", "clean"], cwd=ROOT, capture_output=True, text=True)
    assert "demo" in said.stdout.split()
    assert "runs" not in said.stdout.split()


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


def test_evidence__every_page_has_its_command() -> None:
    text = BENCH.read_text("utf-8")
    pages = sorted((ROOT / "docs" / "evidence").glob("*.md"))
    missing = [p.name for p in pages if f"/{p.name})" not in text and f"`{p.stem}`" not in text]
    assert pages
    assert missing == []
    scripts = set(re.findall(r"bench/\w+\.py", text))
    assert [name for name in scripts if not (ROOT / name).is_file()] == []


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
