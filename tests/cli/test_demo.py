"""``headstart demo``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from headstart.cli.demo import _write_photograph


def test_demo__does_not_write_into_a_folder_that_is_there(
    headstart: Callable[..., Any], tmp_path: Path
) -> None:
    said = headstart("demo", "--out", tmp_path)
    assert said.code == 2
    assert str(tmp_path) in said.err
    assert "--force" in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("has_images", "name"), [(True, "cat.jpg"), (False, "flower.jpg")])
def test_demo__has_a_photograph_with_and_without_scikit_image(
    has_images: bool, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_images:
        monkeypatch.setitem(sys.modules, "skimage.data", None)
    path = _write_photograph(tmp_path)
    assert path.name == name
    with Image.open(path) as picture:
        assert min(picture.size) > 224


@pytest.mark.slow
def test_demo__leaves_a_run_and_its_report(
    headstart: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "random.py").write_text("raise SystemExit('a file of the working folder')")
    said = headstart("demo", "--json")
    assert said.code == 0, said.err
    assert Path(json.loads(said.out)["report"]).is_file()
    assert (tmp_path / "demo" / "run" / "model").is_dir()
