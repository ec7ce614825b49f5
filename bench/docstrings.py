"""Real texts with no download: what functions and classes of installed packages say of themselves.

    .venv/bin/python bench/docstrings.py docstrings.csv

A row is the first paragraph of a docstring, on one line, with the package that it is from: which of
NumPy, SciPy, scikit-learn and PyTorch wrote it? All four speak of arrays and functions, so the words
overlap, and people of the field would get many wrong. Paragraphs of 5 to 60 words are taken, each
text once a package, and of each package 1,000 at random, with a fixed seed. Names of the packages
stay in: few paragraphs have one. The versions in constraints.txt always give the same file.
"""

from __future__ import annotations

import ast
import csv
import importlib.util
import random
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

PACKAGES = ("numpy", "scipy", "sklearn", "torch")
N_TEXTS = 1000
N_WORDS = (5, 60)


def write_docstrings(
    path: Path, *, n_texts: int = N_TEXTS, packages: Sequence[str] = PACKAGES
) -> None:
    """Write the table, columns ``text`` and ``package``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "package"])
        for package in packages:
            found = list(dict.fromkeys(paragraphs(package)))
            random.Random(0).shuffle(found)
            writer.writerows((text, package) for text in found[:n_texts])


def parsed(folder: Path) -> Iterator[ast.Module]:
    """The Python files of a package; those that are not Python of this version are left out."""
    for path in sorted(folder.rglob("*.py")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the packages' own escapes
                tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):  # templates and tests of bad code
            continue
        yield tree


def paragraphs(package: str) -> Iterator[str]:
    """First paragraphs of the docstrings of a package's functions and classes; nothing is imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the package {package} is not installed")
    for tree in parsed(Path(spec.submodule_search_locations[0])):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                text = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
                if N_WORDS[0] <= len(text.split()) <= N_WORDS[1]:
                    yield text


if __name__ == "__main__":
    write_docstrings(Path(sys.argv[1] if len(sys.argv) > 1 else "docstrings.csv"))
