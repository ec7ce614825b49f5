from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

QUICK = ("optimizers", "dropout", "batchnorm", "overfitting")


@pytest.mark.parametrize("verb", QUICK)
def test_lab__writes_a_page_of_the_digits(headstart: Callable, tmp_path: Path, verb: str) -> None:
    said = headstart("lab", verb, "--quick", "--seeds", 2, "--out", tmp_path)
    assert said.code == 0, said
    assert said.out.rstrip().endswith(f"page     {tmp_path / verb}.html")
    found = json.loads((tmp_path / f"{verb}.json").read_text())
    assert found["sentence"] in said.out
    page = (tmp_path / f"{verb}.html").read_text()
    assert page.count("<svg") >= 2
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "nan" not in page.split("</style>")[1]


def write_photos(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("bright", 190)):
        (root / name).mkdir(parents=True)
        for i in range(15):
            pixels = rng.normal(level, 25, (24, 24, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


def test_lab_normalise__of_own_images_as_json(
    headstart: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.course.labs.normalise.descent.MAX_STEPS", 40)
    data = write_photos(tmp_path / "lamps")
    out = tmp_path / "out"
    said = headstart("lab", "normalise", data, "--seeds", 2, "--size", 8, "--out", out, "--json")
    assert said.code == 0, said
    found = json.loads(said.out)
    assert found["real_features"][1]["name"] == "lamps"
    assert found["real_features"][1]["n_features"] == 192
    assert said.err == ""
    assert "<svg" in (out / "normalise-0.svg").read_text()


def test_lab_batchnorm__of_own_images(headstart: Callable, tmp_path: Path) -> None:
    data = write_photos(tmp_path / "lamps")
    said = headstart("lab", "batchnorm", data, "--quick", "--seeds", 2, "--out", tmp_path / "out")
    assert said.code == 0, said


def test_lab_augmentation__of_own_images(headstart: Callable, tmp_path: Path) -> None:
    data = write_photos(tmp_path / "lamps")
    said = headstart(
        "lab", "augmentation", data, "--size", 32, "--seeds", 2, "--out", tmp_path / "out"
    )
    assert said.code == 0, said
    assert "dark" in said.out
    with Image.open(tmp_path / "out" / "augmentation-2.png") as picture:
        assert picture.width > 6 * 32
    assert "data:image/png" in (tmp_path / "out" / "augmentation.html").read_text()


@pytest.mark.parametrize("verb", ["normalise", "augmentation", "dropout"])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("no/such/folder",), "no/such/folder"),
        (("--seeds", "1"), "--seeds"),
        (("--size", "2"), "--size"),
    ],
)
def test_lab__bad_input_is_one_line(fails: Callable, verb: str, words, says) -> None:
    assert says in fails("lab", verb, *words)


def test_lab__too_few_images_is_one_line(fails: Callable, photos: Path) -> None:
    assert "needs 20 images" in fails("--quiet", "lab", "dropout", photos)


@pytest.mark.parametrize("verb", ["normalise", "augmentation", "dropout"])
def test_help__fits_eighty_columns(
    headstart: Callable, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = headstart("lab", verb, "--help")
    assert said.code == 0
    assert "--quick" not in said.out
    assert max(len(line) for line in said.out.splitlines()) <= 80
