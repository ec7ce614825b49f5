"""The licence list and the reading of pip-audit's report (tools/audit.py)."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("audit", ROOT / "tools" / "audit.py")
assert _spec is not None
assert _spec.loader is not None
audit = importlib.util.module_from_spec(_spec)
sys.modules["audit"] = audit
_spec.loader.exec_module(audit)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
installed = functools.cache(lambda: audit.installed(PROJECT))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("GPL-3.0-only OR MIT", True),
        ("MPL-2.0 AND (Apache-2.0 OR GPL-2.0-only)", True),
        ("GPL-2.0-only AND (Apache-2.0 OR MIT)", False),
        ("Apache-2.0 AND Apache-2.0 WITH LLVM-exception AND BSL-1.0", True),
        ("(MIT)", True),
        ("(MIT AND", False),
        ("MIT GPL-3.0-only", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_is_allowed(expression: str, expected: bool) -> None:
    assert audit.is_allowed(expression) == expected


@pytest.mark.parametrize(
    ("metadata", "classifiers", "expected"),
    [
        ({"License-Expression": "MIT", "License": "GPL"}, (), "MIT"),
        ({}, ("License :: OSI Approved :: MIT License", "Topic :: X"), "MIT"),
        ({}, ("License :: DFSG approved", "License :: OSI Approved :: BSD License"), "BSD"),
        ({"License": "Apache 2.0"}, (), "Apache-2.0"),
        ({"License": "Copyright 2001\nlong text"}, (), "Copyright 2001"),
        ({"License": "UNKNOWN"}, (), "unknown"),
        ({}, (), "unknown"),
    ],
)
def test_licence_of(metadata: dict[str, str], classifiers: tuple[str, ...], expected: str) -> None:
    assert audit.licence_of(metadata, classifiers) == expected


def test_installed__every_licence_is_allowed_or_has_a_reason() -> None:
    packages = installed()
    assert {"numpy", "torch", "sympy", "filelock"} <= {p.name for p in packages}
    assert [f"{p.name}: {p.licence}" for p in packages if p.reason is None] == []
    assert next(p for p in packages if p.name == "numpy").brought_by == ("always",)


def test_exceptions__each_has_a_reason_and_none_is_needless() -> None:
    assert all(len(why) > 20 for why in audit.EXCEPTIONS.values())
    here = {p.name: p for p in installed()}
    needless = [n for n in audit.EXCEPTIONS if n in here and audit.is_allowed(here[n].licence)]
    assert needless == []
    odd = audit.Package(name="odd", version="1", licence="GPL-3.0-only", brought_by=("always",))
    assert odd.reason is None
    assert "**not allowed**" in list(audit.page([odd]))[-1]


def test_page__names_every_direct_dependency() -> None:
    text = (ROOT / "docs" / "licences.md").read_text("utf-8")
    names = {p.name for p in audit.installed({**PROJECT, "optional-dependencies": {}})}
    assert [n for n in names if f"| {n} |" not in text] == []


def test_unlisted__names_a_package_or_a_licence_that_the_page_lacks() -> None:
    """Versions and extras are not compared: they differ between installations."""
    good, odd = (
        audit.Package(name=name, version="1", licence="MIT", brought_by=("always",))
        for name in ("good", "odd")
    )
    text = "\n".join(audit.page([good]))
    assert audit.unlisted([dataclasses.replace(good, version="2", brought_by=("web",))], text) == []
    assert audit.unlisted([good, odd], text) == ["odd: MIT"]
    changed = dataclasses.replace(good, licence="BSD")
    assert audit.unlisted([changed], text) == ["good: BSD, listed as MIT"]


def test_judge__counts_what_was_looked_up_and_what_was_not() -> None:
    report = {
        "dependencies": [
            {"name": "headstart", "skip_reason": "not on PyPI"},
            {"name": "good", "version": "1", "vulns": []},
            {"name": "gone", "skip_reason": "Dependency not found on PyPI"},
            {
                "name": "bad",
                "version": "2",
                "vulns": [
                    {"id": "CVE-1", "fix_versions": ["3"]},
                    {"id": "CVE-2", "fix_versions": []},
                ],
            },
        ]
    }
    lines = ["bad 2: CVE-1 (mended in 3)", "bad 2: CVE-2"]
    assert audit.judge(json.dumps(report)) == (lines, 2, 1)


@pytest.mark.parametrize(
    ("said", "offline", "code", "words"),
    [
        ('{"dependencies": [{"name": "a", "skip_reason": "?"}]}', False, 2, "NOT LOOKED UP"),
        ('{"dependencies": [{"name": "a", "skip_reason": "?"}]}', True, 0, "NOT LOOKED UP"),
        ("", False, 2, "gave no report"),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}',
            False,
            0,
            "0 in 1 packages",
        ),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X", "fix_versions": []}]}]}',
            True,
            1,
            "weakness  a 1: X",
        ),
    ],
)
def test_weaknesses__never_says_sound_where_nothing_was_looked_up(
    said: str,
    offline: bool,
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A pip_audit that prints a report of its own stands where the real one would look one up."""
    (tmp_path / "pip_audit.py").write_text(f"print({said!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert audit.weaknesses(offline=offline) == code
    assert words in capsys.readouterr().out
