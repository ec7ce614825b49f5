from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

QUICK = ("--backbone", "embedded", "--size", "32", "--seeds", "1", "--test-size", "0.5", "--quiet")


@pytest.mark.slow
def test_shift__a_corrupted_copy(headstart: Callable, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("transfer", "shift", photos, "--corrupt", "invert", *QUICK, "--out", out)
    said = headstart(*words)
    assert said.code == 0, said
    for name in ("on the source itself", "AdaBN", "CORAL", "DANN", "labelled target"):
        assert name in said.out
    page = (out / "shift.html").read_text()
    assert "<svg" in page
    assert "black and white change places" in page
    assert "| CORAL |" in (out / "shift.md").read_text()
    again = headstart(*words, "--json")
    assert json.loads(again.out) == json.loads((out / "shift.json").read_text())


def test_shift__two_folders_and_a_class_that_is_missing(
    headstart: Callable, fails: Callable, photos: Path, tmp_path: Path
) -> None:
    from PIL import Image

    other = tmp_path / "other"
    for path in photos.rglob("*.png"):
        there = other / path.relative_to(photos)
        there.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).rotate(90).save(there)
    said = headstart("transfer", "shift", photos, other, *QUICK, "--out", tmp_path / "o", "--json")
    assert said.code == 0, said
    assert json.loads(said.out)["target_name"] == "other"
    (other / "dim").mkdir()
    shutil.move(other / "dark", other / "dim")
    assert "the target has no images of 'dark'" in fails("transfer", "shift", photos, other, *QUICK)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "give a target folder, or --corrupt"),
        (("--corrupt", "blurr"), "Did you mean 'blur'"),
        (("--corrupt", "blur", "--tap", "nowhere"), "no tap 'nowhere'"),
    ],
)
def test_shift__bad_options_are_one_line(
    fails: Callable, photos: Path, options: tuple[str, ...], says: str
) -> None:
    assert says in fails("transfer", "shift", photos, *options, *QUICK)
