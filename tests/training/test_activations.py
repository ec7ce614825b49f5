"""The upper part on kept activations gives what the whole network gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from headstart.backbones import Backbone, load, normalise
from headstart.training.activations import FrozenRunner, frozen_values, make_upper, value_bytes
from headstart.training.network import Prepared, prepare
from headstart.training.settings import TrainSettings

NETS = ("timm:test_efficientnet", "timm:test_resnet", "timm:test_vit", "densenet121")


def prepared_for(backbone: Backbone) -> Prepared:
    is_fixed = "vit" in backbone.name
    return prepare(backbone, 3, TrainSettings(size_px=None if is_fixed else 64))


@pytest.mark.parametrize("name", NETS)
def test_make_upper__equals_the_whole_network_at_every_tap(name: str) -> None:
    prepared = prepared_for(load(name, pretrained=False))
    size = prepared.backbone.preprocessing.size_px
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = prepared.network(images)
        for tap in prepared.backbone.taps[:-1:2]:
            upper = make_upper(prepared, tap)
            assert upper is not None, tap.name
            found = upper(frozen_values(prepared, tap, images))
            assert torch.allclose(found, expected, atol=1e-4), tap.name


def test_make_upper__has_the_gradients_of_the_whole_network(tiny_resnet: Backbone) -> None:
    prepared = prepared_for(tiny_resnet)
    tap = prepared.backbone.tap("layer2")
    upper = make_upper(prepared, tap)
    assert upper is not None
    network = prepared.network
    weight = network.body.get_submodule("layer3").get_parameter("0.conv1.weight")
    weight.requires_grad_(True)
    images = torch.randn(2, 3, 64, 64)
    network(images).square().sum().backward()
    expected = weight.grad
    weight.grad = None
    upper(frozen_values(prepared, tap, images)).square().sum().backward()
    assert expected is not None
    assert weight.grad is not None
    assert torch.allclose(weight.grad, expected, rtol=1e-3, atol=1e-6)


def test_make_upper__leaves_the_network_as_it_was(tiny_resnet: Backbone) -> None:
    prepared = prepared_for(tiny_resnet)
    upper = make_upper(prepared, prepared.backbone.tap("layer2"))
    assert upper is not None
    assert not any("forward" in vars(module) for module in prepared.network.modules())


def test_make_upper__is_none_where_something_passes_the_tap_by() -> None:
    # DenseNet's block reads every layer before it: a layer inside divides nothing.
    import dataclasses

    backbone = load("densenet121", pretrained=False)
    inside = dataclasses.replace(
        backbone.taps[1], name="inside", module="features.denseblock1.denselayer2"
    )
    odd = dataclasses.replace(backbone, taps=(inside, *backbone.taps))
    prepared = prepare(odd, 3, TrainSettings())
    assert make_upper(prepared, inside) is None


def test_frozen_runner__gives_the_values_of_the_same_pixels(
    tiny_resnet: Backbone, tmp_path: Path
) -> None:
    prepared = prepared_for(tiny_resnet)
    preprocessing = prepared.backbone.preprocessing
    pixels = torch.randint(0, 256, (9, 3, 64, 64), dtype=torch.uint8)
    images = normalise(pixels.permute(0, 2, 3, 1), preprocessing)
    for tap in (prepared.backbone.tap("layer2"), prepared.features_tap):
        runner = FrozenRunner(
            prepared, tap, n_images=9, device="cpu", precision="float32", cache=tmp_path
        )
        found = runner(pixels)
        runner.close()
        expected = frozen_values(prepared, tap, images)
        assert found.shape == expected.shape
        # Maps are kept with 8 bits of mantissa, features with 24.
        tolerance = 2**-8 if found.dtype == torch.bfloat16 else 1e-5
        assert torch.allclose(found.float(), expected, rtol=tolerance, atol=1e-5)


def test_value_bytes__of_a_map_and_of_features(tiny_resnet: Backbone) -> None:
    prepared = prepared_for(tiny_resnet)
    tap = prepared.backbone.tap("layer2")
    value = frozen_values(prepared, tap, torch.zeros(1, 3, 64, 64))
    assert value.ndim == 4
    assert value_bytes(prepared, tap) == 2 * value.numel()
    assert value_bytes(prepared, prepared.features_tap) == 4 * prepared.features_tap.n_features
