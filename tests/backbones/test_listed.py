"""Lists of backbones: what they name, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from headstart.backbones import load
from headstart.backbones.listed import base_name, load_all, named, split_names
from headstart.errors import BackboneError, InputError

ARCH = "timm:test_efficientnet"


def test_split_names__of_a_text_and_of_a_list() -> None:
    assert split_names("embedded, resnet50") == ("embedded", "resnet50")
    assert split_names(["embedded", "timm:x"]) == ("embedded", "timm:x")
    assert split_names("embedded") == ("embedded",)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "empty name"),
        ("embedded,", "empty name in 'embedded,'"),
        ([], "empty name"),
        (" , resnet50", "empty name"),
        ("resnet50,embedded,resnet50", "resnet50 twice"),
        (["a,b"], "without a comma"),
        (["embedded", 3], "got a int"),
    ],
)
def test_split_names__refuses(given: str | list[str], reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        split_names(given)
    assert "backbone" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_named__files_carry_their_architecture() -> None:
    assert named("resnet50") == ("resnet50", None, None)
    assert named("a/b.pth@resnet50") == ("a/b.pth", "a/b.pth", "resnet50")
    assert base_name("/home/me/b.pth@resnet50") == "b.pth@resnet50"
    assert base_name("/home/me/b.pth") == base_name("me/b.pth") == "b.pth"
    assert base_name("hf-hub:owner/name") == "hf-hub:owner/name"
    assert base_name("hf-hub:/home/me/net") == "hf-hub:net"


def test_load__says_that_it_takes_one_backbone() -> None:
    with pytest.raises(BackboneError, match="names several backbones, and this works with one"):
        load("embedded,resnet18")


def test_load_all__names_are_unique_and_networks_differ(tmp_path: Path) -> None:
    files = [tmp_path / str(seed) / "net.safetensors" for seed in (1, 2)]
    for seed, file in enumerate(files):
        file.parent.mkdir()
        save_file(load(ARCH, pretrained=False, seed=seed).module.state_dict(), file)
    found = load_all([named(f"{file}@{ARCH}") for file in files])
    assert len(found) == 2
    assert next(iter(found)) == "net.safetensors"
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(files[0].read_bytes())
    with pytest.raises(InputError, match="names one network twice"):
        load_all([named(f"{file}@{ARCH}") for file in (files[0], copy)])
