from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from headstart.backbones import load
from headstart.backbones.archargs import with_args
from headstart.backbones.architectures import build, resolve
from headstart.backbones.fitting import build_with, unwrap
from headstart.backbones.weights import digest_weights
from headstart.errors import BackboneError, WeightsError


def test_build_with__the_old_names_of_torchvisions_densenet() -> None:
    arch = resolve("densenet121")
    module = build(arch, seed=1)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value
        for key, value in module.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    again = build_with(arch, old, size_px=224, shown="old.pth").module
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
    again = build_with(arch, original, size_px=288, shown="original.pth").module
    images = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(again(images), module(images), atol=1e-6)


def test_build_with__another_architectures_weights() -> None:
    state = build(resolve("squeezenet1_1")).state_dict()
    with pytest.raises(WeightsError, match=r"do not fit timm:resnet10t: \d+ missing \(conv1\.0"):
        build_with(resolve("timm:resnet10t"), state, size_px=224, shown="w.pth")


TINY = "timm:vit_tiny_patch16_224[depth=2;embed_dim=32;img_size=64;num_heads=2]"


@pytest.fixture(scope="module")
def vit() -> nn.Module:
    return build(resolve(TINY), seed=1)


def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "backbone.", "module.backbone.", "teacher.", "_orig_mod."]
)
@pytest.mark.parametrize("is_headless", [False, True])
def test_load__wrapped_and_headless_checkpoints(
    tmp_path: Path, vit: nn.Module, prefix: str, is_headless: bool
) -> None:
    state = {
        f"{prefix}{key}": value
        for key, value in vit.state_dict().items()
        if not (is_headless and key.startswith("head."))
    }
    torch.save({"epoch": 3, "teacher": state, "optimizer": {}}, tmp_path / "w.pth")
    net = load(weights=tmp_path / "w.pth", arch=TINY)
    with torch.no_grad():
        wanted = vit.forward_features(images())
        assert torch.equal(net.module.forward_features(images()), wanted)
    assert ("has no classifier" in net.source) == is_headless
    assert ("num_classes=0" in net.arch) == is_headless
    again = load(weights=tmp_path / "w.pth", arch=net.arch)
    assert again.digest == net.digest


def test_load__a_dino_teacher_with_its_projection_head(tmp_path: Path, vit: nn.Module) -> None:
    trunk = {k: v for k, v in vit.state_dict().items() if not k.startswith("head.")}
    teacher = {f"backbone.{k}": v for k, v in trunk.items()}
    teacher |= {f"head.mlp.{i}.weight": torch.zeros(4, 4) for i in range(3)}
    student = {f"module.{k}": torch.zeros_like(v) for k, v in teacher.items()}
    torch.save({"student": student, "teacher": teacher}, tmp_path / "dino.pth")
    net = load(weights=tmp_path / "dino.pth", arch=TINY)
    assert "names begin with 'backbone.'; 3 others are not part of the network" in net.source
    assert torch.equal(net.module.get_parameter("cls_token"), vit.get_parameter("cls_token"))


def test_load__a_checkpoint_in_a_checkpoint(tmp_path: Path, vit: nn.Module) -> None:
    torch.save({"model": {"state_dict": vit.state_dict(), "epoch": 1}}, tmp_path / "w.pth")
    found = load(weights=tmp_path / "w.pth", arch=TINY).module.get_parameter("cls_token")
    assert torch.equal(found, vit.get_parameter("cls_token"))
    torch.save({"epoch": 1, "lr": 0.1}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"but a dictionary of epoch, lr\."):
        load(weights=tmp_path / "w.pth", arch=TINY)


def test_load__a_torchvision_network_without_a_classifier(tmp_path: Path) -> None:
    module = build(resolve("resnet18"), seed=2)
    state = {k: v for k, v in module.state_dict().items() if not k.startswith("fc.")}
    torch.save(state, tmp_path / "w.pth")
    net = load(weights=tmp_path / "w.pth", arch="resnet18")
    assert net.arch == "torchvision:resnet18[num_classes=0]"
    assert net.taps[-1].name in ("layer4", "pooled")
    assert net.module(torch.zeros(1, 3, 64, 64)).shape == (1, 512)


@pytest.mark.parametrize(
    ("saved", "hint"),
    [
        ("init_values=1e-5", "init_values=1e-5"),
        ("reg_tokens=4;num_classes=7", "reg_tokens=4;num_classes=7"),
        ("num_classes=7", "num_classes=7"),
        ("img_size=96;init_values=1e-5", "init_values=1e-5;img_size=96"),
    ],
)
def test_build_with__names_the_arguments_that_are_missing(
    tmp_path: Path, saved: str, hint: str
) -> None:
    arch = with_args(TINY, [saved])
    assert arch is not None
    torch.save(build(resolve(arch), seed=1).state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError) as error:
        load(weights=tmp_path / "w.pth", arch=TINY)
    assert f"Try `arch_args={hint!r}`" in str(error.value)
    assert load(weights=tmp_path / "w.pth", arch=with_args(TINY, [hint]))


def test_load__resampled_position_embeddings_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    larger = with_args(TINY, ["img_size=96"])
    assert larger is not None
    torch.save(build(resolve(larger), seed=1).state_dict(), tmp_path / "w.pth")
    net = load(weights=tmp_path / "w.pth", arch=TINY)
    assert "position embeddings for 96 px were resampled, img_size=96 keeps them" in net.source
    assert "img_size=96 keeps them" in caplog.text
    assert "were resampled" not in load(weights=tmp_path / "w.pth", arch=larger).source


def test_unwrap__takes_the_prefix_that_fits_most() -> None:
    own = {"a.weight": torch.zeros(1), "a.bias": torch.zeros(1)}
    plain, remarks = unwrap({**own, "x.a.weight": torch.zeros(1)}, own)
    assert set(plain) == {"a.weight", "a.bias", "x.a.weight"}  # the strict check names the third
    assert remarks == ()


def test_build__arguments_that_the_constructor_refuses() -> None:
    with pytest.raises(BackboneError, match=r"cannot build timm:resnet18\[depths=3\].*`arch_args`"):
        load("timm:resnet18[depths=3]", pretrained=False)
