from __future__ import annotations

import pytest
import timm
from torchvision import models

from headstart.backbones.architectures import build_empty, own_preprocessing, resolve, timm_cfg
from headstart.backbones.backbone import Tap
from headstart.backbones.taps import find_taps
from headstart.errors import BackboneError


def taps_of(name: str) -> tuple[Tap, ...]:
    arch = resolve(name)
    size_px = own_preprocessing(arch).size_px
    return find_taps(build_empty(arch, size_px), size_px)


def names_of(name: str) -> list[str]:
    return [tap.name for tap in taps_of(name)]


VGG16 = [
    *("conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2"),
    *("conv3_1", "conv3_2", "conv3_3", "pool3", "conv4_1", "conv4_2", "conv4_3", "pool4"),
    *("conv5_1", "conv5_2", "conv5_3", "pool5", "fc6", "fc7", "fc8"),
]


@pytest.mark.parametrize("name", ["vgg16", "vgg16_bn", "timm:vgg16"])
def test_find_taps__vgg16_has_the_names_of_its_table(name: str) -> None:
    assert names_of(name) == VGG16


def test_find_taps__vgg16_taps_stand_after_the_activation() -> None:
    modules = {tap.name: tap.module for tap in taps_of("vgg16")}
    assert modules["conv1_2"] == "features.3"
    assert modules["pool5"] == "features.30"
    assert modules["fc6"] == "classifier.1"


def test_find_taps__embedded() -> None:
    taps = taps_of("timm:tf_efficientnet_lite0")
    blocks = [f"blocks.{i}" for i in range(7)]
    assert [tap.name for tap in taps] == ["conv_stem", *blocks, "conv_head", "logits"]
    assert [tap.n_features for tap in taps] == [32, 16, 24, 40, 80, 112, 192, 320, 1280, 1000]


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet18"])
def test_find_taps__a_stages_last_block_has_the_stages_name(name: str) -> None:
    stages = [x for i in range(1, 5) for x in (f"layer{i}.0", f"layer{i}")]
    assert names_of(name) == ["conv1", *stages, "logits"]


def test_find_taps__squeezenet() -> None:
    assert names_of("squeezenet1_0") == ["conv1", *(f"fire{i}" for i in range(2, 10)), "conv10"]


def test_find_taps__transformers_have_patches_and_class_token_of_each_block() -> None:
    for name in ("vit_b_16", "timm:vit_base_patch16_224"):
        taps = taps_of(name)
        # The head sees the class token, which is therefore last.
        blocks = [f"blocks.{i}.{token}" for i in range(12) for token in ("mean", "cls")]
        assert [tap.name for tap in taps] == [*blocks, "logits"]
        assert {(tap.kind, tap.n_prefix) for tap in taps[:-1]} == {("tokens", 1)}
        assert all(tap.norm in ("norm", "encoder.ln") for tap in taps[:-1])


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("timm:vit_small_patch16_dinov3", ["blocks.11.cls", "blocks.11.mean"]),
        ("timm:vit_small_patch14_dinov2", ["blocks.11.mean", "blocks.11.cls"]),
        ("timm:vit_base_patch16_siglip_224", ["blocks.11", "pooled"]),
        ("timm:vit_base_patch16_clip_224.openai", ["blocks.11.cls", "embedding"]),
        ("timm:resnet50_clip", ["stages.3", "embedding"]),
        ("timm:halonet26t", ["stages.3", "pooled", "logits"]),
        ("timm:mvitv2_tiny", ["stages.3.0", "stages.3", "logits"]),
        ("timm:tnt_s_patch16_224", ["blocks.11.cls", "logits"]),
        ("timm:twins_svt_small", ["blocks.3.3", "logits"]),
        ("timm:crossvit_9_240", ["blocks.2.branch1.mean", "blocks.2.branch1.cls", "logits"]),
    ],
)
def test_find_taps__ends_with_what_the_head_sees_and_the_output(name: str, last: list[str]) -> None:
    assert names_of(name)[-len(last) :] == last


def test_find_taps__of_crossvit_are_of_both_branches() -> None:
    taps = {tap.name: tap for tap in taps_of("timm:crossvit_9_240")}
    first, second = taps["blocks.2.branch0.cls"], taps["blocks.2.branch1.cls"]
    assert (first.n_features, second.n_features) == (128, 256)
    assert (first.norm, second.norm) == ("norm.0", "norm.1")


def test_find_taps__of_class_counts_are_logits_and_of_embeddings_are_not() -> None:
    clip = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=32, num_classes=7)
    cfg: dict[str, object] = clip.pretrained_cfg  # type: ignore[assignment]
    cfg["num_classes"] = 512
    assert find_taps(clip, 32)[-1].name == "logits"  # the user's own classes
    cfg["num_classes"] = 7
    assert find_taps(clip, 32)[-1].name == "embedding"
    cfg["label_names"] = list("abcdefg")
    assert find_taps(clip, 32)[-1].name == "logits"


@pytest.mark.parametrize("name", ["swin_t", "timm:swin_tiny_patch4_window7_224"])
def test_find_taps__swin_maps_have_their_channels_last(name: str) -> None:
    maps = [tap for tap in taps_of(name) if tap.kind == "map"]
    assert maps
    assert all(tap.channels_last for tap in maps)
    assert maps[-1].n_features == 768


def test_find_taps__map_as_wide_as_it_has_channels_takes_its_neighbours_layout() -> None:
    arch = resolve("swin_t")
    taps = find_taps(build_empty(arch), 384)  # the first map is (B, 96, 96, 96)
    assert taps[0].channels_last
    arch = resolve("timm:tf_efficientnet_lite0")
    taps = find_taps(build_empty(arch), 64)  # conv_stem's is (B, 32, 32, 32)
    assert not any(tap.channels_last for tap in taps)


def test_find_taps__deep_network_has_some_of_its_blocks() -> None:
    names = names_of("resnet101")
    assert 12 <= len(names) <= 21
    assert {"layer1", "layer2", "layer3", "layer4", "layer3.20"} <= set(names)


def test_find_taps__network_without_rules_opens_its_largest_parts() -> None:
    names = names_of("timm:mixer_s32_224")
    assert len(names) >= 8


def test_find_taps__refuses_a_network_in_one_piece() -> None:
    from torch import nn

    with pytest.raises(BackboneError, match="no layers that Headstart can use"):
        find_taps(nn.Flatten(), 8)


def check(name: str, size_px: int) -> None:
    taps = find_taps(build_empty(resolve(name), size_px), size_px)
    names = [tap.name for tap in taps]
    assert 2 <= len({tap.layer for tap in taps}) <= 28, name
    assert len(set(names)) == len(names), name
    assert all(tap.n_features > 2 for tap in taps), name


@pytest.mark.slow
def test_find_taps__every_torchvision_network() -> None:
    for name in models.list_models(module=models):
        if name != "regnet_y_128gf":  # is built in memory
            check(f"torchvision:{name}", own_preprocessing(resolve(f"torchvision:{name}")).size_px)


@pytest.mark.slow
def test_find_taps__one_timm_network_of_every_family() -> None:
    from timm.models import _registry

    seen = set()
    for name in timm.list_models():
        family = _registry._model_to_module[name]
        if family not in seen:
            seen.add(family)
            check(f"timm:{name}", timm_cfg(resolve(f"timm:{name}")).input_size[-1])
    assert len(seen) > 60
