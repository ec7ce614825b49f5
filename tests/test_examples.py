"""The examples and the notebook run, offline, on small versions of their own data."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from headstart.data import index

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
LIBRARY = sys.stdlib_module_names
NOTEBOOK = EXAMPLES / "tour.ipynb"
# What makes each example small, and a pattern of what it prints.
RUNS: dict[str, tuple[dict[str, Any], str]] = {
    "predict_imagenet": ({}, r"(?s)(cat|tabby) .*%"),
    "fit_and_predict": ({"per_class": 8, "resolutions": (64,)}, r"(?s)test images.*95 % confid"),
    "layer_profile": ({"per_class": 8, "resolutions": (64,)}, r"of the test images: usual layer"),
    "fine_tune": (
        {"per_class": 5, "epochs": 1},
        r"(?s)epoch 1: training loss \d.*epoch 1: \d+ of 10 test",
    ),
    "kernels": ({}, r"become 113 x 75; by the formula 113"),
    "sift_vs_cnn": ({"per_class": 20}, r"McNemar"),
    "augmentation": ({"size_px": 64}, r"(?s)basic.png.*augmix.png.*mixup.png"),
}


@pytest.fixture(autouse=True)
def _beside_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a script has it: the folder of the script comes first on the path."""
    monkeypatch.syspath_prepend(str(EXAMPLES))


def example(name: str) -> ModuleType:
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_examples__are_all_run_here() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_example__runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, said = RUNS[name]
    example(name).main(tmp_path, **small)
    assert re.search(said, capsys.readouterr().out)
    for picture in tmp_path.glob("*.png"):
        with Image.open(picture) as opened:
            opened.verify()


def test_fine_tune__validates_on_no_test_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = example("fine_tune")
    given: list[set[str]] = []

    def note(backbone: Any, training: list[Any], validation: list[Any], *rest: Any) -> None:
        given.extend({r.digest for r in records} for records in (training, validation))
        raise StopIteration

    monkeypatch.setattr(module, "train", note)
    with pytest.raises(StopIteration):
        module.main(tmp_path, per_class=5)
    test = {r.digest for r in index(tmp_path / "digits").test}
    training, validation = given
    assert training
    assert validation
    assert not test & (training | validation)
    assert not training & validation


INSTALL = code_cells()[0]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> tuple[set[str], list[list[str]]]:
    """What the first cell takes for missing, to be filled, and the commands that it runs."""
    missing: set[str] = set()
    commands: list[list[str]] = []
    there = importlib.util.find_spec("json")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in missing else there
    )
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    return missing, commands


def test_notebook__installs_nothing_where_all_is_there(
    installed: tuple[set[str], list[list[str]]],
) -> None:
    run_cell(INSTALL, {})
    assert installed[1] == []


def test_notebook__installs_what_its_cells_need(
    installed: tuple[set[str], list[list[str]]],
) -> None:
    missing, commands = installed
    missing |= {"skimage", "cv2", "pandas"}
    run_cell(INSTALL, {})
    [[*_, cv2, pandas, skimage]] = commands
    assert pandas == "pandas"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert [[cv2], [skimage]] == [extras["optional-dependencies"][e] for e in ("sift", "demo")]


def test_notebook__never_asks_the_index_for_the_name_headstart(
    installed: tuple[set[str], list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, commands = installed
    missing.add("headstart")
    monkeypatch.chdir(EXAMPLES)
    run_cell(INSTALL, {})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match="REPOSITORY"):
        run_cell(INSTALL, {})
    address = "https://example.org/headstart.git"
    run_cell(INSTALL.replace('REPOSITORY = ""', f'REPOSITORY = "{address}"'), {})
    assert [command[-1] for command in commands] == [str(ROOT), f"git+{address}"]


@pytest.mark.slow
def test_notebook__runs_from_the_first_cell_to_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    cells = code_cells()
    usual, smaller = "PER_CLASS, SIZES = 40, (96, 160)", "PER_CLASS, SIZES = 20, (64,)"
    assert any(usual in cell for cell in cells)
    figures = 0
    for cell in (cell.replace(usual, smaller) for cell in cells):
        value = run_cell(cell, names)
        shown = (
            "" if value is None else value._repr_html_() if hasattr(value, "_repr_html_") else ""
        )
        figures += "<svg" in shown or isinstance(value, Image.Image)
        assert value is None or shown or isinstance(value, Image.Image)
    assert figures >= 7
    said = capsys.readouterr().out
    assert "138,357,544 parameters" in said
    assert "test images" in names["run"]._repr_html_()


def run_cell(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does: the value of a last expression is its answer."""
    *body, last = ast.parse(cell).body
    if not isinstance(last, ast.Expr):
        body.append(last)
    exec(compile(ast.Module(body, []), "tour.ipynb", "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "tour.ipynb", "eval"), names)


def test_notebook__needs_no_file_beside_it_and_validates_on_no_test_image() -> None:
    code = "\n".join(code_cells())
    roots = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert {root.split(".")[0] for root in roots} <= {"headstart", "numpy", "PIL", *LIBRARY}
    assert not re.search(r"\.test\b", code)


def test_notebook__carries_no_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
