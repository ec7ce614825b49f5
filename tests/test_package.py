"""What is built from pyproject.toml (`make package` builds it and runs the demo from it)."""

from __future__ import annotations

import re
import tomllib
import zlib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MAX_WHEEL_BYTES = 2_000_000
# Upper bounds, each with its reason in docs/dependencies.md.
BOUNDED_ABOVE = {"ray"}


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    return [r for r in map(Requirement, lines) if r.name != "headstart"]


def test_wheel__stays_small() -> None:
    files = (p for p in (ROOT / "src" / "headstart").rglob("*") if p.is_file())
    sizes = [len(zlib.compress(p.read_bytes())) for p in files if "__pycache__" not in p.parts]
    assert sum(sizes) < 0.9 * MAX_WHEEL_BYTES  # a tenth is left for the archive's own tables


def test_requirements__have_a_lower_bound_each() -> None:
    assert [str(r) for r in requirements() if ">=" not in str(r.specifier)] == []


def test_requirements__have_an_upper_bound_only_with_a_reason() -> None:
    bounded = {r.name for r in requirements() if any(s.operator != ">=" for s in r.specifier)}
    assert bounded == BOUNDED_ABOVE


def test_requirements__are_bounded_alike_wherever_they_stand() -> None:
    known: dict[str, str] = {}
    for need in requirements():
        assert known.setdefault(need.name, str(need.specifier)) == str(need.specifier), need.name


def test_readme__at_pypi_leads_to_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import build_hook

    hooks = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["metadata"]
    assert hooks["hooks"]["custom"]["path"] == "tools/build_hook.py"
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
    monkeypatch.setenv("GITHUB_REF_TYPE", "tag")
    monkeypatch.setenv("GITHUB_REF_NAME", "v1.2.3")
    hook = build_hook.MetadataHook.__new__(build_hook.MetadataHook)
    monkeypatch.setattr(build_hook.MetadataHook, "root", str(ROOT), raising=False)
    made: dict[str, Any] = {}
    hook.update(made)
    places = re.findall(r"(?:\]\(|src=\"|srcset=\")([^)\"]+)", made["readme"]["text"])
    assert len(places) > 20
    assert [p for p in places if not p.startswith("https://")] == []
    raw = "https://raw.githubusercontent.com/owner/name/v1.2.3/docs/figures/readme-dark.png"
    assert raw in places
    notebook = "https://colab.research.google.com/github/owner/name/blob/v1.2.3/examples/tour.ipynb"
    assert notebook in places
    assert made["urls"]["Tour (Colab)"] == notebook
    for place in places:  # each is a file of the repository
        if "/owner/name/" in place:
            inner = place.partition("v1.2.3/")[2].partition("#")[0]
            assert (ROOT / inner).is_file(), place
    monkeypatch.delenv("GITHUB_REPOSITORY")
    hook.update(made)
    assert made["readme"]["text"] == (ROOT / "README.md").read_text("utf-8")
    assert made["urls"] == {}
