from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from headstart.backbones import embedded as room
from headstart.backbones import pred
from headstart.backbones.architectures import build_empty, resolve
from headstart.errors import WeightsError

LITE0 = room.EMBEDDED["embedded"]


@pytest.mark.parametrize("network", room.EMBEDDED.values(), ids=lambda n: n.name)
def test_read_embedded__names_every_layer_of_timm(network: room.Embedded) -> None:
    pytest.importorskip(network.package)
    own = build_empty(resolve(network.arch)).state_dict()
    read = room.read_embedded(network)
    assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in read.items()}


def test_read_embedded__equals_the_weights_published_as_safetensors(shared: Path) -> None:
    reference = load_file(shared / "weights" / "tf_efficientnet_lite0.safetensors")
    found = room.read_embedded(LITE0)
    for key, value in reference.items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(found[key], value), key


@pytest.mark.parametrize(("name", "extra"), [("embedded", "embedded"), ("embedded:lite2", "lite2")])
def test_read_embedded__missing_package(
    monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    network = room.EMBEDDED[name]
    monkeypatch.setitem(sys.modules, network.package, None)
    with pytest.raises(WeightsError, match=rf"{network.package}.*headstart\[{extra}\]"):
        room.read_embedded(network)


def test_find_embedded__lite0_is_the_default() -> None:
    assert room.find_embedded("embedded:lite0") is LITE0
    assert room.find_embedded("timm:tf_efficientnet_lite0") is None


def test_embedded__lite2_recognises_a_cat(cat: Path) -> None:
    pytest.importorskip(room.EMBEDDED["embedded:lite2"].package)
    best = pred(cat, backbone="embedded:lite2", top=1)[0]
    assert best.label in ("tabby", "tiger cat", "Egyptian cat")


def test_read_embedded__damaged_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = room.find_file(LITE0)
    if path is None:
        pytest.skip("the embedded package is not installed")
    changed = bytearray(path.read_bytes())
    changed[-100_000] ^= 1
    (tmp_path / "lite0.pth").write_bytes(changed)
    monkeypatch.setattr(room, "find_file", lambda _: tmp_path / "lite0.pth")
    with pytest.raises(WeightsError, match=r"is damaged .*not 57934424"):
        room.read_embedded(LITE0)


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
    assert room.timm_key(theirs, LITE0.stage_repeats) == ours
