from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from headstart.backbones import Backbone, Tap, TappedModule, load, pool, tapped_forward
from headstart.errors import BackboneError

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def relative_error(found: object, wanted: Tensor) -> float:
    return float(np.abs(np.asarray(found) - wanted.numpy()).max() / wanted.abs().max())


def test_tapped_forward__embedded_equals_its_submodules_run_by_hand(embedded: Backbone) -> None:
    net: Any = embedded.module
    with torch.no_grad():
        x = net.bn1(net.conv_stem(IMAGES))
        wanted = {"conv_stem": x}
        for i, stage in enumerate(net.blocks):
            wanted[f"blocks.{i}"] = x = stage(x)
        wanted["conv_head"] = x = net.bn2(net.conv_head(x))
        wanted["logits"] = net.classifier(x.mean((2, 3)))
    found = tapped_forward(embedded, IMAGES)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert torch.allclose(found[name], value, atol=1e-5), name


def test_tapped_forward__vgg16_equals_its_layers_run_one_by_one() -> None:
    backbone = load("vgg16", pretrained=False)
    net: Any = backbone.module
    wanted = {}
    with torch.no_grad():
        x = IMAGES[:1]
        for i, layer in enumerate(net.features):
            x = layer(x.clone())
            wanted[f"features.{i}"] = x.clone()
        x = net.avgpool(x).flatten(1)
        for i, layer in enumerate(net.classifier):
            x = layer(x.clone())
            wanted[f"classifier.{i}"] = x.clone()
    found = tapped_forward(backbone, IMAGES[:1])
    assert len(found) == 21
    for tap in backbone.taps:
        assert torch.equal(found[tap.name], wanted[tap.module]), tap.name


def test_tapped_forward__resnet18_equals_its_submodules_run_by_hand(resnet18: Backbone) -> None:
    net = resnet18.module
    wanted = {}
    with torch.no_grad():
        x = wanted["conv1"] = net.relu(net.bn1(net.conv1(IMAGES)))
        x = net.maxpool(x)
        for i in range(1, 5):
            stage = getattr(net, f"layer{i}")
            wanted[f"layer{i}.0"] = stage[0](x)
            x = wanted[f"layer{i}"] = stage(x)
        wanted["logits"] = net(IMAGES)
    found = tapped_forward(resnet18, IMAGES)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert torch.allclose(found[name], value, atol=1e-5), name


def test_tapped_forward__a_later_in_place_activation_does_not_reach_the_tap() -> None:
    backbone = load("densenet121", pretrained=False)  # relu(norm5(x), inplace=True) follows
    net = backbone.module
    norm = Tap(name="norm5", module="features.norm5", kind="map", n_features=1024)
    object.__setattr__(backbone, "taps", (*backbone.taps, norm))
    with torch.no_grad():
        wanted = net.features(IMAGES)
    found = tapped_forward(backbone, IMAGES, ["norm5"])["norm5"]
    assert float(found.min()) < 0
    assert torch.equal(found, wanted)
    pooled = TappedModule(backbone, ["norm5", "logits"])(IMAGES)[0]
    assert torch.equal(pooled, wanted.mean((2, 3)))


def test_tapped_forward__stops_after_the_last_wanted_tap(resnet18: Backbone) -> None:
    ran = []
    handle = resnet18.module.layer3.register_forward_hook(lambda *_: ran.append(1))
    tapped_forward(resnet18, IMAGES, ["layer1", "conv1"])
    assert not ran
    tapped_forward(resnet18, IMAGES, ["layer3"])
    handle.remove()
    assert ran


def test_tapped_forward__keeps_the_order_asked_for_and_leaves_no_hooks(resnet18: Backbone) -> None:
    assert list(tapped_forward(resnet18, IMAGES, ["layer2", "conv1"])) == ["layer2", "conv1"]
    assert tapped_forward(resnet18, IMAGES, []) == {}
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in resnet18.module.modules())


def test_tapped_forward__layer_with_several_outputs_gives_the_first() -> None:
    if not timm.list_models("efficientvim_m1"):
        pytest.skip("this timm does not have EfficientViM yet")
    backbone = load("timm:efficientvim_m1", pretrained=False)
    tap = next(tap for tap in backbone.taps if tap.name == "stages.0")
    outputs = []
    handle = backbone.module.stages[0].register_forward_hook(lambda *args: outputs.append(args[2]))
    found = tapped_forward(backbone, torch.randn(1, 3, 224, 224), ["stages.0"])["stages.0"]
    handle.remove()
    assert isinstance(outputs[0], tuple)
    assert torch.equal(found, outputs[0][0])
    assert found.shape[1] == tap.n_features


def test_tapped_forward__unknown_tap(resnet18: Backbone) -> None:
    with pytest.raises(BackboneError, match=r"no tap 'layer9'\. Did you mean 'layer"):
        tapped_forward(resnet18, IMAGES, ["layer9"])


def test_tapped_module__changes_no_running_statistics(embedded: Backbone) -> None:
    before = {k: v.clone() for k, v in embedded.module.state_dict().items()}
    tapped = TappedModule(embedded)
    with torch.no_grad():
        first, second = tapped(IMAGES), tapped(IMAGES)
    assert not embedded.module.training
    assert all(torch.equal(before[k], v) for k, v in embedded.module.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_tapped_module__pools_to_float32_rows(embedded: Backbone) -> None:
    with torch.no_grad():
        rows = TappedModule(embedded)(IMAGES)
    for tap, row in zip(embedded.taps, rows, strict=True):
        assert row.shape == (2, tap.n_features)
        assert row.dtype == torch.float32


def test_tapped_module__a_row_does_not_depend_on_its_batch(embedded: Backbone) -> None:
    tapped = TappedModule(embedded, ["blocks.4", "conv_head"])
    with torch.no_grad():
        for together, alone in zip(tapped(IMAGES), tapped(IMAGES[1:]), strict=True):
            assert torch.allclose(together[1], alone[0], atol=1e-5)


@pytest.mark.parametrize("taps", [[], ["layer1", "layer1"]])
def test_tapped_module__refuses_no_taps_and_twins(resnet18: Backbone, taps: list[str]) -> None:
    with pytest.raises(BackboneError, match="one or more different names"):
        TappedModule(resnet18, taps)


def test_pool__by_hand() -> None:
    value = torch.arange(24.0).reshape(1, 2, 3, 4)
    first = Tap(name="a", module="a", kind="map", n_features=2)
    assert pool(value, first).tolist() == [[5.5, 17.5]]
    last = Tap(name="a", module="a", kind="map", n_features=4, channels_last=True)
    assert pool(value, last).tolist() == [[10.0, 11.0, 12.0, 13.0]]
    tokens = Tap(name="a", module="a", kind="tokens", n_features=2, n_prefix=1)
    assert pool(torch.tensor([[[9.0, 9.0], [1.0, 2.0], [3.0, 4.0]]]), tokens).tolist() == [[2, 3]]
    vector = Tap(name="a", module="a", kind="vector", n_features=2)
    assert pool(torch.tensor([[1.0, 2.0]], dtype=torch.float16), vector).dtype == torch.float32


def test_pool__max_by_hand() -> None:
    value = torch.arange(24.0).reshape(1, 2, 3, 4)
    first = Tap(name="a", module="a", kind="map", n_features=2)
    assert pool(value, first, "max").tolist() == [[11.0, 23.0]]
    last = Tap(name="a", module="a", kind="map", n_features=4, channels_last=True)
    assert pool(value, last, "max").tolist() == [[20.0, 21.0, 22.0, 23.0]]
    tokens = Tap(name="a", module="a", kind="tokens", n_features=2, n_prefix=1)
    # The class token is not a patch.
    assert pool(torch.tensor([[[9.0, 9.0], [1.0, 4.0], [3.0, 2.0]]]), tokens, "max").tolist() == [
        [3, 4]
    ]
    vector = Tap(name="a", module="a", kind="vector", n_features=2)
    assert pool(torch.tensor([[1.0, 2.0]]), vector, "max").tolist() == [[1.0, 2.0]]


def test_pool__a_pyramid_is_the_whole_and_its_quarters() -> None:
    value = torch.arange(16.0).reshape(1, 1, 4, 4)
    first = Tap(name="a", module="a", kind="map", n_features=1)
    expected = [[7.5, 2.5, 4.5, 10.5, 12.5]]
    assert pool(value, first, "pyramid").tolist() == expected
    last = Tap(name="a", module="a", kind="map", n_features=1, channels_last=True)
    assert pool(value.permute(0, 2, 3, 1), last, "pyramid").tolist() == expected
    tokens = Tap(name="a", module="a", kind="tokens", n_features=1, n_prefix=1)
    patches = torch.cat([torch.tensor([[[99.0]]]), value.reshape(1, 16, 1)], dim=1)
    assert pool(patches, tokens, "pyramid").tolist() == expected


def test_pool__a_pyramid_needs_a_square_of_tokens() -> None:
    tokens = Tap(name="a", module="a", kind="tokens", n_features=2)
    with pytest.raises(BackboneError, match="3 tokens, which do not form a square"):
        pool(torch.zeros(1, 3, 2), tokens, "pyramid")


def test_pool__pooled_tap_is_the_heads_input() -> None:
    backbone = load("timm:cait_xxs24_224", pretrained=False)
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        wanted = backbone.module.forward_head(
            backbone.module.forward_features(images), pre_logits=True
        )
        found = TappedModule(backbone, ["pooled"])(images)[0]
    assert torch.allclose(found, wanted, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_tapped_module__traces(embedded: Backbone) -> None:
    tapped = TappedModule(embedded).eval()
    with torch.no_grad():
        wanted = tapped(IMAGES)
        traced = torch.jit.trace(tapped, IMAGES[:1], check_trace=False)
        for found, value in zip(traced(IMAGES), wanted, strict=True):
            assert relative_error(found, value) < 1e-5


@pytest.mark.filterwarnings("ignore")
def test_tapped_module__exports(resnet18: Backbone) -> None:
    tapped = TappedModule(resnet18, ["layer1", "logits"]).eval()
    batch = {"images": {0: torch.export.Dim.AUTO}}
    exported = torch.export.export(tapped, (IMAGES,), dynamic_shapes=batch, strict=False).module()
    images = torch.cat([IMAGES, IMAGES])
    with torch.no_grad():
        for found, value in zip(exported(images), tapped(images), strict=True):
            assert relative_error(found, value) < 1e-5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["embedded", "squeezenet1_0"])
def test_tapped_module__openvino_agrees(name: str) -> None:
    openvino = pytest.importorskip("openvino")
    backbone = load(name, pretrained=name == "embedded")
    tapped = TappedModule(backbone).eval()
    images = torch.randn(3, 3, 224, 224)
    converted = openvino.convert_model(tapped, example_input=images[:1])
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    found = openvino.compile_model(converted, "CPU", hint)(images.numpy())
    with torch.no_grad():
        wanted = tapped(images)
    for i, value in enumerate(wanted):
        assert relative_error(found[i], value) < 1e-3, backbone.taps[i].name
