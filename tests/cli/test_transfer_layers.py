from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

QUICK = ("--size", "16", "--epochs", "1", "--seeds", "1", "--cuts", "2", "--augment", "none")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("four") / "levels"
    rng = np.random.default_rng(0)
    for i, name in enumerate(("night", "dusk", "dawn", "day")):
        (root / name).mkdir(parents=True)
        for k in range(8):
            pixels = rng.normal(40 + 60 * i, 20, (20, 20, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{k}.png")
    return root


def test_layers__halves_of_a_folder(headstart: Callable, four: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = headstart("transfer", "layers", four, "--halves", *QUICK, "--out", out, "--quiet")
    assert said.code == 0, said
    assert "specific" in said.out
    assert "conv5" in said.out
    page = (out / "layers.html").read_text()
    assert page.count("<svg") == 3
    assert "Yosinski et al. 2014" in page
    assert "| conv2 |" in (out / "layers.md").read_text()
    found = json.loads((out / "layers.json").read_text())
    assert [row["layer"] for row in found["layers"]] == ["conv2", "conv5"]
    again = headstart("transfer", "layers", four, "--halves", *QUICK, "--out", out, "--json")
    assert json.loads(again.out) == found
    assert again.err == ""


@pytest.mark.slow
def test_layers__another_architecture(headstart: Callable, four: Path, tmp_path: Path) -> None:
    said = headstart(
        "transfer", "layers", four, "--halves", "--backbone", "timm:test_efficientnet",
        "--size", "32", *QUICK[2:], "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert said.code == 0, said
    assert len(json.loads(said.out)["layers"]) == 2


def test_layers__bad_input_is_one_line(fails: Callable, four: Path, tmp_path: Path) -> None:
    def says(*words: object) -> str:
        return fails("transfer", "layers", *words, *QUICK, "--quiet", "--out", tmp_path / "out")

    assert "add --halves" in says(four)
    assert "--base and --target go together" in says("--base", four)
    assert "not both" in says(four, "--base", four, "--target", four)
    assert "--halves splits one data set" in says("--halves", "--base", four, "--target", four)
    assert "A and B overlap: 32 images are in both" in says("--base", four, "--target", four)
    assert "unknown backbone" in says(four, "--halves", "--backbone", "compakt")
