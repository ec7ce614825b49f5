from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

ARCH = "timm:test_efficientnet"


def weights_file(folder: Path, seed: int) -> str:
    """FILE@ARCH of a tiny network with weights of their own."""
    from safetensors.torch import save_file

    from headstart.backbones import load

    path = folder / f"seed{seed}.safetensors"
    save_file(load(ARCH, pretrained=False, seed=seed).module.state_dict(), path)
    return f"{path}@{ARCH}"


def test_scores__ranks_given_backbones_and_writes_the_page(
    headstart: Callable, photos: Path, tmp_path: Path
) -> None:
    names = ",".join(weights_file(tmp_path, seed) for seed in (0, 1))
    out = tmp_path / "out"
    words = ("transfer", "scores", photos, "--backbones", names, "--size", 32, "--out", out)
    said = headstart(*words, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert {c["name"] for c in found["candidates"]} == {"seed0.safetensors", "seed1.safetensors"}
    assert all(s is not None for c in found["candidates"] for s in c["scores"].values())
    assert "2 candidates are too few for a rank correlation" in found["detail"]
    page = (out / "scores.html").read_text()
    assert found["candidates"][0]["name"] in page
    # Nine images and more features: an H-score of 1 for both networks, so no order and no figure.
    assert "H-score" not in {a["score"] for a in found["agreements"]}
    assert "The same for all candidates, so without an order: H-score" in page
    assert page.count("<svg xmlns") == len(found["agreements"])
    assert (out / "scores.md").exists()
    assert json.loads((out / "scores.json").read_text()) == found


def test_scores__taps_are_candidates(headstart: Callable, photos: Path, tmp_path: Path) -> None:
    words = ("transfer", "scores", photos, "--backbones", weights_file(tmp_path, 0))
    said = headstart(*words, "--per", "tap", "--size", 32, "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert "Kendall" in said.out
    assert "LogME" in said.out
    assert "LEEP" not in said.out
    assert "the most accurate" in said.out.replace("\n", " ")


def test_scores__bad_input_is_one_line(fails: Callable, photos: Path, tmp_path: Path) -> None:
    scores = ("transfer", "scores", photos)
    assert "--per must be backbone or tap" in fails(*scores, "--per", "layer")
    assert "different names" in fails(*scores, "--backbones", "embedded,,x")
    assert "different names" in fails(*scores, "--backbones", "embedded,embedded")
    assert "resnet50" in fails(*scores, "--backbones", "embedded,resnet5O")
    assert "no such weight file" in fails(*scores, "--backbones", "gone.pth@resnet18")
    assert "--arch" in fails(*scores, "--backbones", "gone.pth")
