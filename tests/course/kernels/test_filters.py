from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from headstart.backbones import Backbone, load, tapped_forward, transform
from headstart.course.kernels import (
    GALLERY,
    feature_maps,
    filter_sheet,
    first_filters,
    kernel_sheet,
    map_sheet,
    variant_sheet,
)
from headstart.course.kernels.correlation import variants
from headstart.errors import BackboneError, InputError


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load("squeezenet1_1", pretrained=False)


@pytest.fixture
def image() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_first_filters__are_the_weights_of_the_first_layer(backbone: Backbone) -> None:
    found = first_filters(backbone)
    weights = backbone.module.get_submodule(found.layer).weight
    assert found.weights.shape == (64, 3, 3, 3)
    assert found.stride == 2
    np.testing.assert_array_equal(found.weights[5, :, :, 1], weights[5, 1].numpy())


def test_first_filters__refuse_a_network_without_convolution(backbone: Backbone) -> None:
    plain = dataclasses.replace(backbone, module=nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    with pytest.raises(BackboneError, match="has no convolution over RGB"):
        first_filters(plain)


def test_feature_maps__are_those_of_the_tap_that_vary_most(
    backbone: Backbone, image: Image.Image
) -> None:
    found = feature_maps(backbone, image, "fire4", 5)
    pixels = transform(image, backbone.preprocessing)[None]
    whole = tapped_forward(backbone, pixels, ["fire4"])["fire4"][0].numpy()
    assert found.n_channels == len(whole)
    np.testing.assert_array_equal(found.maps, whole[found.channels])
    spread = whole.std(axis=(1, 2))
    assert spread[found.channels].min() >= np.delete(spread, found.channels).max()
    assert found.crop.size == (224, 224)


def test_feature_maps__of_tokens_lie_on_the_grid_of_patches(image: Image.Image) -> None:
    vit = load("timm:vit_tiny_patch16_224", pretrained=False)
    tap = next(t for t in vit.taps if t.kind == "tokens")
    found = feature_maps(vit, image, tap.name, 3)
    assert found.maps.shape == (3, 14, 14)
    value = tapped_forward(vit, transform(image, vit.preprocessing)[None], [tap.name])[tap.name]
    row, column = 4, 9
    token = value[0, tap.n_prefix + row * 14 + column]
    expected = token[torch.from_numpy(found.channels)].numpy()
    np.testing.assert_array_equal(found.maps[:, row, column], expected)


def test_feature_maps__refuse_a_vector(image: Image.Image) -> None:
    resnet = load("resnet18", pretrained=False)
    said = r"`tap` logits gives a vector, not a map; resnet18 has maps at: conv1, layer1\.0"
    with pytest.raises(InputError, match=said):
        feature_maps(resnet, image, "logits", 3)


def test_sheets__are_pngs_that_show_every_cell(backbone: Backbone, image: Image.Image) -> None:
    picture = np.asarray(image, np.float32) / np.float32(255)
    settings: dict[str, Any] = {"stride": 1, "padding": "zeros", "dilation": 1}
    gallery = _opened(kernel_sheet(picture, GALLERY, **settings))
    assert gallery.width > 6 * 120
    assert gallery.getpixel((15, 15)) == image.getpixel((1, 1))
    small = _opened(variant_sheet(picture, GALLERY[3], variants(224, 224, 3)[:5]))
    assert small.height > 90
    assert _opened(filter_sheet(first_filters(backbone))).width > 12 * 50
    assert _opened(map_sheet(feature_maps(backbone, image, "fire4", 3))).width > 4 * 100


def _opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return image
