from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from headstart.backbones import Backbone, load
from headstart.errors import BackboneError, WeightsError


def test_load__embedded(embedded: Backbone) -> None:
    assert embedded.arch == "timm:tf_efficientnet_lite0"
    assert embedded.n_parameters == 4_652_008
    assert embedded.licence == "Apache-2.0"
    assert embedded.preprocessing.mean == (0.5, 0.5, 0.5)
    assert not embedded.module.training
    assert not any(p.requires_grad for p in embedded.module.parameters())


def test_load__embedded_and_the_same_weights_as_a_file_have_one_digest(
    embedded: Backbone, shared: Path
) -> None:
    path = shared / "weights" / "tf_efficientnet_lite0.safetensors"
    local = load(weights=path, arch="timm:tf_efficientnet_lite0")
    assert local.digest == embedded.digest
    assert local.preprocessing == embedded.preprocessing
    assert local.name == "tf_efficientnet_lite0.safetensors"
    assert str(path) in local.source


@pytest.mark.parametrize("name", ["squeezenet1_0", "mobilenetv1_075"])
def test_load__local_weights(shared: Path, name: str) -> None:
    backbone = load(weights=shared / "weights" / f"{name}.safetensors", arch=name)
    assert backbone.arch.endswith(name)
    assert len(backbone.taps) >= 7
    assert backbone.preprocessing.resize_px == 256


def test_load__a_file_as_the_name(tmp_path: Path) -> None:
    module = load("squeezenet1_1", pretrained=False, seed=4)
    path = tmp_path / "mine.safetensors"
    save_file(module.module.state_dict(), path)
    assert load(str(path), arch="squeezenet1_1").digest == module.digest


def test_load__weights_without_arch(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"`weights` .*w\.pth needs `arch` NAME"):
        load(weights=tmp_path / "w.pth")


def test_load__arch_without_weights() -> None:
    with pytest.raises(BackboneError, match="`arch` vgg16 says what a weight file holds"):
        load("resnet18", arch="vgg16")


def test_load__weights_of_another_architecture(tmp_path: Path) -> None:
    small = load("squeezenet1_1", pretrained=False)
    save_file(small.module.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"squeezenet1_0: 12 missing .*features\.0\.weight is"):
        load(weights=tmp_path / "w.safetensors", arch="squeezenet1_0")


def test_load__classes_that_differ_are_told_by_shape(tmp_path: Path, resnet18: Backbone) -> None:
    state = resnet18.module.state_dict() | {"fc.weight": torch.zeros(7, 512)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"fc\.weight is \(7, 512\) and should be \(1000, 512\)"):
        load(weights=tmp_path / "w.pth", arch="resnet18")


def test_load__another_digest_is_an_error(embedded: Backbone) -> None:
    assert load("embedded", digest=embedded.digest).digest == embedded.digest
    with pytest.raises(WeightsError, match=r"not those expected: .*begins 030292260b6b, not 00ff"):
        load("embedded", digest="00ff" * 16)


def test_load__random_weights_follow_the_seed() -> None:
    first, again, other = (load("squeezenet1_1", pretrained=False, seed=s) for s in (5, 5, 6))
    assert first.digest == again.digest != other.digest
    assert first.source == "random weights, seed 5"
