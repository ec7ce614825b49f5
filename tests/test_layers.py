"""The rooms of the package lean one way: an import that points back up fails here.

Every import counts: at the top of a file, inside a function, for type checking only, relative, and
``import_module`` with a name written out.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "headstart"

# Single files that every room may import; they import none but each other.
SHARED_FILES = frozenset(
    {"errors", "files", "home", "parameters", "progress", "results", "wording"}
)

# A room, and the rooms that it may import besides itself (the drawing in the design).
IMAGES = {"data", "backbones"}
TRAINING = IMAGES | {"augment", "features", "training", "heads", "probe"}
MAY_IMPORT: dict[str, set[str]] = {
    "data": set(),
    "backbones": {"data"},
    "augment": IMAGES,
    "features": IMAGES,
    "heads": set(),
    "reliability": {"heads"},
    "probe": {"data", "heads"},
    "training": IMAGES | {"augment", "features", "plots"},
    "sources": IMAGES | {"features", "heads", "text"},
    "comparison": TRAINING | {"plots", "sources"},
    "runs": TRAINING | {"comparison", "plots", "reliability", "text", "sources"},
    "experiments": TRAINING
    | {"baselines", "comparison", "reliability", "runs", "plots", "sources", "text"},
    "transfer": {"experiments"},  # its functions
    "plots": set(),
    "baselines": IMAGES | {"features", "heads", "probe"},
    "course": TRAINING | {"runs", "plots"},  # the lecture: only the faces import it
    "export": IMAGES | {"features", "heads", "training", "reliability", "runs", "sources", "text"},
    "text": TRAINING,
}
FACES = ("cli", "web", "serve")
for _face in FACES:
    MAY_IMPORT[_face] = set(MAY_IMPORT) - set(FACES) | {"headstart"}
MAY_IMPORT["cli"] |= {"web", "serve"}  # the command starts the other faces
MAY_IMPORT["__main__"] = {"cli"}  # `python -m headstart` is the command
# The package itself is the library's face: it hands out what the rooms below make.
MAY_IMPORT["headstart"] = {
    "backbones", "comparison", "data", "features", "heads", "runs", "text", "transfer",
}  # fmt: skip

# `heads` sees arrays, never images or networks; `plots` knows nothing of torch.
NEVER = {
    "heads": {"PIL", "timm", "torchvision"},
    "reliability": {"PIL", "timm", "torchvision"},
    "plots": {"PIL", "timm", "torch", "torchvision"},
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module or name in one file: ``headstart.data.decode.read_rgb``."""

    line: int
    name: str


def imports_of(code: str, module: str, *, is_package: bool = False) -> Iterator[Import]:
    """Everything that the file of ``module`` imports, with full names."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            above = above[: len(above) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (Import(node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield Import(node.lineno, first.value)
        elif _is_facade(node) and node.attr != "__version__":
            yield Import(node.lineno, f"headstart.{node.attr}")


def room_of(module: str) -> str:
    """``headstart.data.decode`` -> ``data``; the package and what it hands out -> ``headstart``."""
    parts = module.split(".")
    known = len(parts) > 1 and (parts[1] in MAY_IMPORT or parts[1] in SHARED_FILES)
    return parts[1] if known else "headstart"


def violations(code: str, module: str, *, is_package: bool = False) -> list[str]:
    """The imports of ``module`` that its room may not have, each as a sentence."""
    room = room_of(module)
    allowed = MAY_IMPORT.get(room, set()) | SHARED_FILES | {room}
    found = []
    for imported in imports_of(code, module, is_package=is_package):
        top = imported.name.split(".")[0]
        is_own = top == "headstart"
        # `import headstart` alone reads the version, or it is told by what is taken from it.
        if imported.name in ("headstart", "headstart.__version__"):
            continue
        if (is_own and room_of(imported.name) not in allowed) or (top in NEVER.get(room, set())):
            found.append(f"{module}, line {imported.line}: {room} may not import {imported.name}")
    return sorted(found)


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def _is_facade(node: ast.AST) -> TypeGuard[ast.Attribute]:
    """Whether the node is ``headstart.something``."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
        return False
    return node.value.id == "headstart"


def _module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def test_layers__no_import_points_back_up() -> None:
    wrong = [
        text
        for path in _files()
        for text in violations(
            path.read_text(encoding="utf-8"),
            _module_of(path),
            is_package=path.name == "__init__.py",
        )
    ]
    assert not wrong, "\n".join(["imports against the order of the rooms:", *wrong])


def test_layers__every_folder_and_file_has_its_place() -> None:
    known = set(MAY_IMPORT) | SHARED_FILES | {"__init__"}
    here = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in _files()}
    assert {"data", "backbones", "features", "heads", "runs", "cli"} <= here
    assert here <= known, f"no room is called {sorted(here - known)}: give it a place above"


def test_layers__the_order_has_no_circle() -> None:
    finished: set[str] = set()
    while waiting := set(MAY_IMPORT) - finished:
        ready = {room for room in waiting if MAY_IMPORT[room] <= finished}
        assert ready, f"these rooms may import each other: {sorted(waiting)}"
        finished |= ready


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def _handed_out(stub: Path) -> dict[str, str | None]:
    """The file of each name that a lazy package hands out; empty of any other module."""
    lines = _tree(stub).body if stub.exists() else []
    found = [line for line in lines if isinstance(line, ast.ImportFrom)]
    return {alias.name: line.module for line in found for alias in line.names}


def _loads(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that a file's top imports; names of a lazy package from its stub."""
    for node in _tree(path).body:  # not what is for type checking
        if not isinstance(node, ast.ImportFrom) or node.module is None or node.level:
            continue
        lazy = _handed_out(modules.get(node.module, path).with_suffix(".pyi"))
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            if full not in modules:
                full = ".".join(filter(None, [node.module, lazy.get(alias.name)]))
            if full in modules:
                yield full


def test_layers__no_circle_of_files_that_load_each_other() -> None:
    modules = {_module_of(path): path for path in _files()}
    loads = {name: {*_loads(path, modules)} - {name} for name, path in modules.items()}
    assert sum(map(len, loads.values())) > 1_000
    while done := {n for n, others in loads.items() if not any(o in loads for o in others)}:
        loads = {name: others for name, others in loads.items() if name not in done}
    assert not loads, f"these files load each other: {sorted(loads)}"


def _literals(kind: type[ast.expr]) -> Iterator[tuple[str, ast.expr]]:
    for path in _files():
        for node in ast.walk(_tree(path)):
            if isinstance(node, kind):
                yield path.relative_to(SOURCE).as_posix(), node


def test_layers__there_is_one_grid_of_C() -> None:
    grids = set()
    for file, node in _literals(ast.Tuple):
        values = [getattr(item, "value", None) for item in getattr(node, "elts", ())]
        steps = [v for v in values if isinstance(v, int | float)]
        if len(steps) == len(values) >= 4 and steps == sorted(steps) and steps[0] > 0:
            grids |= {file} if steps[-1] >= 1_000 * steps[0] else set()
    # The others are the grid of ridges and the buckets of a histogram of seconds.
    assert grids == {"heads/costs.py", "heads/ridge_targets.py", "serve/metrics.py"}


def test_layers__flags_are_written_by_the_faces_alone() -> None:
    files = set()
    for file, node in _literals(ast.Constant):
        text = getattr(node, "value", None)
        if isinstance(text, str) and re.match("--[a-z]", text) and "/" in file:
            files |= {file} if file.split("/")[0] not in FACES else set()
    # The command that repeats a run; the program within an exported bundle; a variable of CSS.
    assert files == {"runs/provenance.py", "export/text_program.py", "plots/svg.py"}


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("headstart.data.index", "from headstart.backbones import load"),
        ("headstart.data.index", "import headstart.runs.fit"),
        ("headstart.features.store", "def f():\n    from headstart.heads import LinearSVM"),
        (
            "headstart.backbones.loading",
            "if TYPE_CHECKING:\n    from headstart.features import FeatureStore",
        ),
        ("headstart.heads.svm", "from headstart.data import Record"),
        ("headstart.heads.svm", "from headstart.training import train"),
        ("headstart.training.loop", "from headstart.heads import LinearSVM"),
        ("headstart.heads.svm", "from PIL import Image"),
        ("headstart.plots.bars", "def f():\n    import torch.nn"),
        ("headstart.plots.bars", "from headstart.runs import metrics"),
        ("headstart.runs.fit", "from headstart.cli.console import count"),
        ("headstart.runs.fit", "from headstart import cli"),
        ("headstart.runs.fit", "import headstart\nheadstart.fit"),
        ("headstart.runs.fit", "from headstart import fit"),
        ("headstart.web.page", "from headstart.cli import console"),
        ("headstart.text.words", "from headstart.runs import folder"),
        ("headstart.errors", "from headstart.data import index"),
        ("headstart.data.index", "from ..heads import LinearSVM"),
        ("headstart.data.index", "from .. import heads"),
        ("headstart.data.index", "import importlib\nimportlib.import_module('headstart.heads')"),
    ],
)
def test_violations__finds_an_arrow_that_points_back_up(module: str, code: str) -> None:
    assert len(violations(code, module)) == 1


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("headstart.backbones.imagenet", "from headstart.data import read_rgb"),
        ("headstart.data.index", "from .decode import read_rgb\nfrom . import split"),
        ("headstart.data.index", "from ..errors import DataError"),
        ("headstart.runs.fit", "from headstart import plots"),
        ("headstart.runs.provenance", "import headstart\nheadstart.__version__"),
        ("headstart.runs.provenance", "from headstart import __version__"),
        ("headstart.cli.fit", "import headstart\nheadstart.fit"),
        ("headstart.runs.texts", "from headstart.text import tokenize"),
        ("headstart.heads.svm", "import torch, numpy"),
    ],
)
def test_violations__passes_an_arrow_that_points_down(module: str, code: str) -> None:
    assert violations(code, module) == []


def test_violations__a_relative_import_in_a_package_starts_at_the_package() -> None:
    assert violations("from .svm import LinearSVM", "headstart.heads", is_package=True) == []
    assert len(violations("from ..data import Record", "headstart.heads", is_package=True)) == 1
