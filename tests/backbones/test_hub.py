from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from headstart.backbones import load
from headstart.backbones.architectures import build, resolve
from headstart.backbones.hub import fetch_published
from headstart.errors import WeightsError


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["vgg16", "timm:resnet18.a1_in1k"])
def test_fetch_published__no_network_is_one_line_that_says_what_to_do(name: str) -> None:
    with pytest.raises(WeightsError) as error:
        load(name)
    text = str(error.value)
    assert "\n" not in text
    assert name in text
    assert "there is no network" in text
    assert "`weights='FILE'` `arch=" in text
    assert "`backbone='embedded'`" in text


@pytest.mark.usefixtures("no_network")
def test_fetch_published__hub_told_to_stay_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        fetch_published(resolve("timm:resnet18"))


def test_fetch_published__nothing_published() -> None:
    with pytest.raises(WeightsError, match="no weights are published for timm:coatnet_0_224"):
        fetch_published(resolve("timm:coatnet_0_224"))


@pytest.mark.usefixtures("no_network")
def test_fetch_published__damaged_file_in_the_cache(tmp_path: Path) -> None:
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "squeezenet1_0-b66bff10.pth").write_bytes(b"PK cut short")
    with pytest.raises(WeightsError, match=r"is damaged .*not b66bff10.*delete it"):
        load("squeezenet1_0")


@pytest.mark.usefixtures("no_network")
def test_load__published_file_in_torchs_cache(tmp_path: Path) -> None:
    module = build(resolve("squeezenet1_0"), seed=3)
    torch.save(module.state_dict(), tmp_path / "weights.pth")
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    name = f"squeezenet1_0-{digest[:8]}.pth"
    (tmp_path / "weights.pth").rename(folder / name)
    weights = models.SqueezeNet1_0_Weights.DEFAULT
    url = weights.url
    object.__setattr__(weights.value, "url", f"https://download.pytorch.org/models/{name}")
    try:
        backbone = load("squeezenet1_0")
    finally:
        object.__setattr__(weights.value, "url", url)
    assert torch.equal(backbone.module.features[0].weight, module.features[0].weight)
    assert backbone.source.endswith(name)
    assert backbone.licence.startswith("BSD-3-Clause")


@pytest.mark.usefixtures("no_network")
def test_load__published_file_in_the_hubs_cache(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    module = build(resolve("timm:test_resnet.r160_in1k"), seed=3)
    repository = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    save_file(module.state_dict(), snapshot / "model.safetensors")
    backbone = load("timm:test_resnet.r160_in1k")
    assert backbone.source == "https://huggingface.co/timm/test_resnet.r160_in1k"
    loaded: Any = backbone.module
    made: Any = module
    assert torch.equal(loaded.fc.weight, made.fc.weight)


@pytest.mark.network
def test_load__downloads_published_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    try:
        backbone = load("squeezenet1_1")
    except WeightsError as error:
        pytest.skip(str(error))
    assert backbone.n_parameters == 1_235_496
