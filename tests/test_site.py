"""The site: its navigation and the pages that are written for it (mkdocs.yml, tools/site_pages.py).

That it builds without a warning is checked by `make docs`, which needs the extra ``docs``.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from headstart.cli.app import whole_command

ROOT = Path(__file__).resolve().parents[1]
CONFIG = (ROOT / "mkdocs.yml").read_text("utf-8")
_spec = importlib.util.spec_from_file_location("site_pages", ROOT / "tools" / "site_pages.py")
assert _spec is not None
assert _spec.loader is not None
site_pages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(site_pages)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_navigation__has_every_page_once() -> None:
    named = re.findall(r"^ +- (?:.*: )?([\w./-]+\.md)$", CONFIG, re.MULTILINE)
    written = {"changelog.md", "contributing.md", "security.md", "cli/index.md", "api/index.md"}
    assert sorted(named) == sorted({*(p.name for p in (ROOT / "docs").glob("*.md")), *written})


def test_site__asks_nothing_of_other_hosts() -> None:
    assert "font: false" in CONFIG
    assert "https://" not in CONFIG
    for asset in re.findall(r"assets/[\w.-]+", CONFIG):
        assert "://" not in (ROOT / "docs" / asset).read_text("utf-8"), asset


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda p: p.name)
def test_workflows__pin_every_action_to_a_commit(workflow: Path) -> None:
    for action in re.findall(r"uses: (.*)", workflow.read_text("utf-8")):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", action)


def test_command_pages__have_every_verb_with_every_option() -> None:
    pages = dict(site_pages.command_pages())
    verbs = whole_command().commands
    assert set(pages) == {"cli/index.md", *(f"cli/{verb}.md" for verb in verbs)}
    for verb, command in verbs.items():
        assert f"]({verb}.md)" in pages["cli/index.md"]
        inner = getattr(command, "commands", {})
        for one in (command, *inner.values()):
            for option in (
                o
                for p in one.params
                if not getattr(p, "hidden", False)
                for o in p.opts
                if o.startswith("--")
            ):
                assert option in pages[f"cli/{verb}.md"], (verb, option)
        for name in inner:
            assert f"## headstart {verb} {name}" in pages[f"cli/{verb}.md"]


def test_expanded__puts_the_pages_of_a_folder_in_its_place() -> None:
    known = ["a/index.md", "a/x.md", "a/y.md", "b.md"]
    nav = [{"A": ["a/index.md", "a/*"]}, "b.md"]
    assert site_pages.expanded(nav, known) == [{"A": ["a/index.md", "a/x.md", "a/y.md"]}, "b.md"]


def test_on_page_markdown__leads_out_of_docs_to_pages_of_the_site() -> None:
    class Page:
        class file:  # noqa: N801
            src_uri = "evidence/scale.md"

    text = "[a](../../README.md) [b](../../CHANGELOG.md) [c](../scale.md)"
    expected = "[a](../index.md) [b](../changelog.md) [c](../scale.md)"
    assert site_pages.on_page_markdown(text, page=Page) == expected


def test_on_page_content__keeps_code_with_the_signs_around_it() -> None:
    pre = "<pre><code>a.b</code></pre>"
    shown = site_pages.on_page_content(f"<p>so (<code>--a</code>), <code>b</code> c</p>{pre}")
    kept = '<span class="together">(<code>--a</code>),</span>'
    assert shown == f"<p>so {kept} <code>b</code> c</p>{pre}"
