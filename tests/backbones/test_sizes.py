from __future__ import annotations

import pytest
import torch

from headstart.backbones import Backbone, at_size, load
from headstart.backbones.sizes import patch_px, size_step
from headstart.errors import BackboneError


def test_at_size__shares_a_convolutional_network(embedded: Backbone) -> None:
    smaller = at_size(embedded, 160)
    assert smaller.module is embedded.module
    assert smaller.preprocessing.resize_px == 182
    assert smaller.taps == embedded.taps
    assert smaller.digest == embedded.digest


def test_at_size__resamples_timms_transformer() -> None:
    backbone = load("timm:vit_tiny_patch16_224", pretrained=False)
    smaller = at_size(backbone, 96)
    assert smaller.module(torch.zeros(1, 3, 96, 96)).shape == (1, 1000)
    assert backbone.module(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)
    assert smaller.digest == backbone.digest


def test_at_size__resamples_torchvisions_transformer() -> None:
    backbone = load("vit_b_32", pretrained=False)
    smaller = at_size(backbone, 96)
    assert smaller.module(torch.zeros(1, 3, 96, 96)).shape == (1, 1000)
    assert backbone.module.image_size == 224
    assert [tap.recipe for tap in smaller.taps] == [tap.recipe for tap in backbone.taps]


def test_at_size__refuses_what_would_drop_a_strip() -> None:
    backbone = load("timm:vit_tiny_patch16_224", pretrained=False)
    with pytest.raises(BackboneError, match=r"multiple of 16; got 100: take 96 or 112"):
        at_size(backbone, 100)


def test_at_size__refuses_what_the_network_cannot_take() -> None:
    with pytest.raises(BackboneError, match="cannot take an input of 2x2 px"):
        at_size(load("squeezenet1_1", pretrained=False), 2)
    with pytest.raises(BackboneError, match=r"192x192"):
        at_size(load("timm:mixer_s32_224", pretrained=False), 192)


def test_size_step__is_the_patch_of_a_plain_transformer_alone(embedded: Backbone) -> None:
    assert patch_px(load("timm:vit_tiny_patch16_224", pretrained=False)) == 16
    assert patch_px(load("timm:swin_tiny_patch4_window7_224", pretrained=False)) is None
    assert (patch_px(embedded), size_step(embedded)) == (None, 32)
