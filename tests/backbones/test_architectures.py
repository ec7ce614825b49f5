from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from headstart.backbones.architectures import (
    ALIASES,
    Architecture,
    build,
    drop_auxiliary_heads,
    known_names,
    own_licence,
    own_preprocessing,
    resolve,
)
from headstart.errors import BackboneError


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("vgg16", "torchvision:vgg16"),
        ("timm:vgg16", "timm:vgg16"),
        ("torchvision:resnet50", "torchvision:resnet50"),
        ("resnet50.IMAGENET1K_V1", "torchvision:resnet50.IMAGENET1K_V1"),
        ("resnet50.a1_in1k", "timm:resnet50.a1_in1k"),
        ("vit_small_patch14_dinov2", "timm:vit_small_patch14_dinov2"),
        ("mobilenetv1_075", "headstart:mobilenetv1_075"),
    ],
)
def test_resolve__and_back(name: str, full: str) -> None:
    assert resolve(name).full_name == full
    assert resolve(full) == resolve(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("rsenet50", "resnet50"),
        ("timm:convnext_tinny", "convnext_tiny"),
        ("VGG-16", "vgg16"),
        ("embeded", "embedded"),
        ("lite1", "embedded:lite1"),
        ("Lite2", "embedded:lite2"),
        ("lite0", "embedded:lite0"),
        ("embedded:lite9", "embedded:lite1"),
        ("vit_small_patch14_dinov", "vit_small_patch14_dinov2"),
        ("torchvision:eva02_tiny_patch14_224", "eva02_tiny_patch14_224"),
    ],
)
def test_resolve__unknown_name_asks_did_you_mean(name: str, meant: str) -> None:
    with pytest.raises(BackboneError, match=r"unknown backbone .*Did you mean") as error:
        resolve(name)
    assert f"'{meant}'" in str(error.value)


def test_resolve__hostile_name_is_shown_on_one_line() -> None:
    with pytest.raises(BackboneError) as error:
        resolve("a\n\x1b[31m" + "b" * 500)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 400


def test_resolve__unknown_tag_lists_those_there_are() -> None:
    with pytest.raises(BackboneError, match=r"no published weights 'foo'; it has: IMAGENET1K_V1"):
        resolve("torchvision:vgg16.foo")


def test_known_names__spans_both_libraries() -> None:
    names = set(known_names())
    assert {"embedded", "googlenet", "vit_h_14", "tf_efficientnet_lite0", "mobilenetv1_075"} < names
    assert len(names) > 1000


def test_own_preprocessing__file_name_of_published_weights_picks_its_record() -> None:
    arch = resolve("resnet50")
    assert own_preprocessing(arch).resize_px == 232
    assert own_preprocessing(arch, "resnet50-0676ba61.pth").resize_px == 256
    assert own_preprocessing(resolve("resnet50.IMAGENET1K_V1")).resize_px == 256


def test_own_licence__of_each_library() -> None:
    assert own_licence(resolve("vgg16")).startswith("BSD-3-Clause")
    assert own_licence(resolve("timm:tf_efficientnet_lite0")) == "apache-2.0"


def test_build__seed_decides_the_weights_and_leaves_the_global_generator() -> None:
    arch = Architecture("torchvision", "squeezenet1_0")
    state = torch.get_rng_state()
    first, again, other = (build(arch, seed=seed).state_dict() for seed in (1, 1, 2))
    key = "features.0.weight"
    assert torch.equal(first[key], again[key])
    assert not torch.equal(first[key], other[key])
    assert torch.equal(torch.get_rng_state(), state)


def test_drop_auxiliary_heads__network_still_gives_one_output() -> None:
    module = build(resolve("googlenet"))
    drop_auxiliary_heads(module)
    assert module(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
    assert sum(p.numel() for p in module.parameters()) == 6_624_904


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("dinov2_vits14", "timm:vit_small_patch14_dinov2"),
        ("dinov2_vitb14_reg", "timm:vit_base_patch14_reg4_dinov2"),
        ("dinov3_vits16", "timm:vit_small_patch16_dinov3"),
        ("dino_vits8", "timm:vit_small_patch8_224.dino"),
    ],
)
def test_resolve__names_of_torch_hub(alias: str, name: str) -> None:
    assert resolve(alias).full_name == name


def test_resolve__every_alias_is_a_network_of_timm() -> None:
    for alias in ALIASES:
        assert resolve(alias).library == "timm", alias


def test_resolve__repositories_and_arguments() -> None:
    found = resolve("hf-hub:owner/name@v2")
    assert (found.library, found.name, found.full_name) == (
        "hf-hub", "owner/name@v2", "hf-hub:owner/name@v2",
    )  # fmt: skip
    arch = resolve("vit_small_patch16_224[num_classes=0;img_size=448]")
    assert arch.full_name == "timm:vit_small_patch16_224[img_size=448;num_classes=0]"
    assert resolve(arch.full_name) == arch
    assert own_preprocessing(arch).size_px == 448


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("facebook/dinov2-small", "transformers:OWNER/NAME"),
        ("hf-hub:no", "neither a folder nor OWNER/NAME"),
        ("transformers:", "neither a folder nor OWNER/NAME"),
        (str(Path(__file__).parent), "is a folder: put transformers: before its name"),
        ("transformers:a/b/c", "neither a folder nor OWNER/NAME"),
        ("open_clip:ViT-B-16", "timm:vit_base_patch16_clip_224.openai"),
        ("embedded:lite9", "Did you mean 'embedded:lite"),
    ],
)
def test_resolve__unknown_repositories_say_what_to_write(name: str, says: str) -> None:
    with pytest.raises(BackboneError) as error:
        resolve(name)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_resolve__embedded_networks_are_known_without_importing_timm() -> None:
    code = (
        "import sys\n"
        "from headstart.backbones.architectures import resolve\n"
        "found = [resolve(n).full_name for n in ('embedded', 'embedded:lite1', 'embedded:lite2')]\n"
        "assert not {'timm', 'torchvision'} & set(sys.modules)\n"
        "assert [resolve(name).full_name for name in found] == found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
