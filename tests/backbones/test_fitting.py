from __future__ import annotations

import re

import pytest
import torch

from headstart.backbones.architectures import build, resolve
from headstart.backbones.fitting import build_with
from headstart.backbones.weights import digest_weights
from headstart.errors import WeightsError


def test_build_with__the_old_names_of_torchvisions_densenet() -> None:
    arch = resolve("densenet121")
    module = build(arch, seed=1)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value
        for key, value in module.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    again = build_with(arch, old, size_px=224, shown="old.pth")
    assert digest_weights(again) == digest_weights(module)


def test_build_with__timm_converts_the_original_names() -> None:
    arch = resolve("timm:convnext_atto")
    module = build(arch, seed=1)
    original = {}
    for key, value in module.state_dict().items():
        key = re.sub(r"stages\.(\d)\.blocks\.", r"stages.\1.", key)
        key = re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", key)
        key = key.replace("stem.", "downsample_layers.0.").replace("head.norm.", "norm.")
        key = key.replace("conv_dw", "dwconv").replace("head.fc.", "head.")
        key = key.replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2")
        original[key] = value
    again = build_with(arch, original, size_px=288, shown="original.pth")
    images = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(again(images), module(images), atol=1e-6)


def test_build_with__another_architectures_weights() -> None:
    state = build(resolve("squeezenet1_1")).state_dict()
    with pytest.raises(WeightsError, match=r"do not fit timm:resnet10t: \d+ missing \(conv1\.0"):
        build_with(resolve("timm:resnet10t"), state, size_px=224, shown="w.pth")
