from __future__ import annotations

import pytest

from headstart.backbones import Backbone, measure_complexity
from headstart.backbones.architectures import (
    build_empty,
    drop_auxiliary_heads,
    own_preprocessing,
    resolve,
    torchvision_weights,
)
from headstart.backbones.complexity import Complexity, measure_module
from headstart.backbones.taps import find_taps


def measure(name: str) -> Complexity:
    arch = resolve(name)
    size_px = own_preprocessing(arch).size_px
    module = build_empty(arch, size_px)
    drop_auxiliary_heads(module)
    return measure_module(module, size_px, find_taps(module, size_px))


def test_measure_module__vgg16_has_the_known_figures() -> None:
    cost = measure("vgg16")
    assert cost.n_parameters == 138_357_544
    assert cost.macs == 15_470_264_320
    assert cost.tap_macs["conv1_1"] == 64 * 3 * 9 * 224 * 224
    assert cost.tap_macs["pool5"] == cost.macs - 25088 * 4096 - 4096 * 4096 - 4096 * 1000
    assert cost.tap_macs["fc8"] == cost.macs


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "resnet50", "densenet121", "efficientnet_b0", "convnext_tiny", "vit_b_16"),
        *("swin_t", "googlenet", "regnet_y_400mf", "mobilenet_v3_small", "squeezenet1_0"),
    ],
)
def test_measure_module__equals_torchvisions_own_count(name: str) -> None:
    meta = torchvision_weights(resolve(name)).meta
    cost = measure(name)
    assert round(cost.macs / 1e9, 3) == meta["_ops"]
    assert cost.n_parameters == meta["num_params"]
    in_order = list(cost.tap_macs.values())
    assert in_order == sorted(in_order)


def test_measure_complexity__convolutions_fall_with_the_square_of_the_side(
    embedded: Backbone,
) -> None:
    own, half = measure_complexity(embedded), measure_complexity(embedded, 112)
    assert own.macs == 385_187_552
    assert own.tap_macs["conv_stem"] == 4 * half.tap_macs["conv_stem"] == 32 * 27 * 112 * 112
    assert own.tap_macs["logits"] - own.tap_macs["conv_head"] == 1280 * 1000
    assert own.n_parameters == embedded.n_parameters
