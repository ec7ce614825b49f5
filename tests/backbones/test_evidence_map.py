"""The evidence map against the plain formula of the class activation map, and what it adds up to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from headstart.backbones import imagenet_classes, load, normalise, pool, tapped_forward, to_uint8
from headstart.backbones.backbone import Backbone
from headstart.backbones.evidence_map import evidence_map, heat_picture, imagenet_evidence
from headstart.errors import BackboneError


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((240, 180))


@pytest.fixture(scope="module")
def net() -> Backbone:
    return load("resnet18", pretrained=False, seed=1)


def _values(net: Backbone, picture: Image.Image, taps: list[str]) -> dict[str, torch.Tensor]:
    crop = torch.from_numpy(to_uint8(picture, net.preprocessing))[None]
    return tapped_forward(net, normalise(crop, net.preprocessing), taps)


def test_imagenet_evidence__is_the_class_activation_map(net, picture) -> None:
    found = imagenet_evidence(net, picture, 7)
    maps = _values(net, picture, ["layer4"])["layer4"][0]
    weight, bias = net.module.fc.weight[7], net.module.fc.bias[7]
    plain = torch.einsum("d,dhw->hw", weight, maps) / maps[0].numel()
    assert found.layers == ("layer4",)
    assert found.score == pytest.approx(float(plain.sum() + bias), abs=1e-4)
    assert found.values.sum() == pytest.approx(float(plain.sum()), abs=1e-4)
    cells = found.values.reshape(7, 32, 7, 32).sum(axis=(1, 3))
    assert np.corrcoef(cells.ravel(), plain.numpy().ravel())[0, 1] > 0.9
    assert found.crop.size == found.values.shape == (224, 224)


def test_evidence_map__of_a_head_on_two_layers_adds_up_to_its_score(net, picture) -> None:
    taps = ["layer3", "layer4"]
    kept = _values(net, picture, taps)
    w = {name: torch.randn(kept[name].shape[1]) for name in taps}

    def scored(names: Sequence[str]) -> Callable[[Mapping[str, Tensor]], Tensor]:
        return lambda values: torch.stack([values[n][0] @ w[n] for n in names]).sum()

    found = evidence_map(net, picture, taps, scored(taps))
    alone = [evidence_map(net, picture, [n], scored([n])) for n in taps]
    score = sum(float(pool(kept[n], net.tap(n))[0] @ w[n]) for n in taps)
    assert found.score == pytest.approx(score, abs=1e-4)
    assert found.values.sum() == pytest.approx(score, abs=1e-3)
    np.testing.assert_allclose(found.values, alone[0].values + alone[1].values, atol=1e-6)


def test_imagenet_evidence__lies_on_the_cat(embedded, cat) -> None:
    with Image.open(cat) as opened:
        half = opened.convert("RGB").resize((320, 320))
    scene = Image.new("RGB", (640, 640), (90, 120, 90))
    scene.paste(half, (320, 320))
    values = imagenet_evidence(embedded, scene, imagenet_classes().index("tabby")).values
    assert values[112:, 112:].sum() > 3 * values[:112, :112].clip(0).sum()


@pytest.mark.parametrize("name", ["timm:vit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224"])
def test_imagenet_evidence__transformers_have_places_too(name, picture) -> None:
    found = imagenet_evidence(load(name, pretrained=False), picture, 3)
    assert np.isfinite(found.values).all()
    assert found.values.any()


def test_evidence_map__finds_the_places_of_a_network_of_which_only_the_output_is_known(
    net, picture
) -> None:
    trained = dataclasses.replace(net, taps=net.taps[-1:])
    found = imagenet_evidence(trained, picture, 7)
    assert found.layers == ("layer4",)
    np.testing.assert_array_equal(found.values, imagenet_evidence(net, picture, 7).values)


def test_evidence_map__leaves_the_network_as_it_was(net, picture) -> None:
    before = _values(net, picture, ["logits"])["logits"]
    imagenet_evidence(net, picture, 0)
    assert torch.equal(before, _values(net, picture, ["logits"])["logits"])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.module.modules())
    assert all(p.grad is None for p in net.module.parameters())


def test_evidence_map__says_what_is_wrong(net, picture) -> None:
    with pytest.raises(BackboneError, match="no tap 'layer9'"):
        evidence_map(net, picture, ["layer9"], lambda v: v["layer9"].sum())


def test_heat_picture__is_brighter_where_there_is_evidence(net, picture) -> None:
    found = imagenet_evidence(net, picture, 7)
    light = np.asarray(heat_picture(found).convert("L"), float)
    assert light.shape == (224, 224)
    strong = found.values >= np.quantile(found.values, 0.95)
    grey = np.asarray(found.crop.convert("L"), float)
    assert (light[strong] / (grey[strong] + 1)).mean() > (light / (grey + 1))[~strong].mean()
