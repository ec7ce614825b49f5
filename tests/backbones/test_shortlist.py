from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from headstart.backbones import catalogue
from headstart.backbones.embedded import EMBEDDED
from headstart.backbones.shortlist import (
    PURPOSES,
    SHORTLIST,
    for_purpose,
    made_for,
    measure_shortlist,
)
from headstart.errors import BackboneError


def test_catalogue__names_the_shortlist_in_order() -> None:
    entries = catalogue()
    assert tuple(entry.name for entry in entries) == SHORTLIST
    vgg16 = next(entry for entry in entries if entry.name == "vgg16")
    assert (vgg16.n_parameters, vgg16.macs, vgg16.size_px) == (138_357_544, 15_470_264_320, 224)
    assert vgg16.arch == "torchvision:vgg16"
    assert all(entry.licence for entry in entries)


@pytest.mark.parametrize(
    "name", ["embedded", "vgg16", "inception_v3", "timm:vit_tiny_patch16_224", "regnet_y_400mf"]
)
def test_measure_shortlist__gives_the_stored_figures(name: str) -> None:
    stored = json.loads(files("headstart.backbones").joinpath("shortlist.json").read_text())
    row = next(row for row in stored if row["name"] == name)
    found = measure_shortlist((name,))[0]
    # The hub's names of files may change between versions of timm; what a network costs may not.
    assert {k: v for k, v in found.items() if k != "weights"} == {
        k: v for k, v in row.items() if k != "weights"
    }


def test_catalogue__sees_weights_in_the_libraries_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    before = {entry.name for entry in catalogue() if entry.weights_here}
    assert before <= set(EMBEDDED)
    torch_file = tmp_path / "torch" / "hub" / "checkpoints" / "vgg16-397923af.pth"
    hub_file = (
        tmp_path
        / "hub"
        / "models--timm--resnet18.a1_in1k"
        / "snapshots"
        / "0"
        / "model.safetensors"
    )
    for path in (torch_file, hub_file):
        path.parent.mkdir(parents=True)
        path.touch()
    after = {entry.name for entry in catalogue() if entry.weights_here}
    assert after - before == {"vgg16", "timm:resnet18.a1_in1k"}


def testtorch_cache__is_where_torch_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from headstart.backbones.shortlist import torch_cache

    for name, value in (("TORCH_HOME", None), ("XDG_CACHE_HOME", str(tmp_path))):
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
        assert torch_cache() == Path(torch.hub.get_dir()) / "checkpoints"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("plants", "hf-hub:imageomics/bioclip"),
        ("a plant", "hf-hub:imageomics/bioclip"),
        ("Satellite images", "timm:vit_large_patch16_dinov3.sat493m"),
        ("histology", "hf-hub:MahmoodLab/UNI"),
        ("screws", "embedded"),
    ],
)
def test_for_purpose__names_what_was_made_for_it_first(text: str, first: str) -> None:
    found = [entry.name for entry in for_purpose(text)]
    assert found[0] == first
    assert "embedded" in found
    assert len(set(found)) == len(found)


def test_made_for__leaves_out_those_for_any_images() -> None:
    assert made_for("screws") == []
    assert next(entry.name for entry in made_for("histology")) == "hf-hub:MahmoodLab/UNI"


def test_for_purpose__needs_a_word() -> None:
    with pytest.raises(BackboneError, match="takes words such as plants"):
        for_purpose("--")


def test_purposes__are_of_the_shortlist() -> None:
    assert set(PURPOSES) <= set(SHORTLIST)
