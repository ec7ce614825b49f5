from __future__ import annotations

import pytest
import torch

from headstart.backbones.architectures import (
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
