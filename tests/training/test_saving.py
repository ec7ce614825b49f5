"""A trained network that leaves in a file and comes back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from headstart.backbones import Backbone, at_size, normalise
from headstart.data import Record
from headstart.errors import WeightsError
from headstart.features.pixels import crops
from headstart.training import Trained, TrainSettings, train
from headstart.training.saving import NAME, load_network, save_network


@pytest.fixture(scope="module")
def trained(tiny: Backbone, records: list[Record], cache: Path) -> Trained:
    settings = TrainSettings(size_px=64, epochs=1, lr=1e-2, normalise=True, dropout=0.1)
    classes = ("blue", "red")
    return train(tiny, records[:20], records[20:], classes, settings, cache=cache, device="cpu")


@pytest.fixture
def saved(trained: Trained, tmp_path: Path) -> Path:
    assert save_network(tmp_path, trained) == trained.backbone.digest
    return tmp_path / NAME


def test_load_network__gives_the_same_logits_to_the_last_bit(
    trained: Trained, saved: Path, records: list[Record]
) -> None:
    found = load_network(saved, digest=trained.backbone.digest)
    preprocessing = found.preprocessing
    assert preprocessing == trained.backbone.preprocessing
    assert preprocessing.size_px == 64
    cut = np.stack([crops(r.path, [preprocessing])[0] for r in records[:4]])
    images = normalise(torch.from_numpy(cut), preprocessing)
    with torch.no_grad():
        assert torch.equal(found.module(images), trained.network(images))


def test_load_network__is_a_backbone_with_the_one_tap_logits(trained: Trained, saved: Path) -> None:
    found = load_network(saved, digest=trained.backbone.digest)
    assert [(t.name, t.kind, t.n_features) for t in found.taps] == [("logits", "vector", 2)]
    for name in ("name", "arch", "source", "licence", "digest", "n_parameters"):
        assert getattr(found, name) == getattr(trained.backbone, name)
    assert not found.module.training
    assert at_size(found, 64) is found


def test_load_network__refuses_other_weights(trained: Trained, saved: Path) -> None:
    with pytest.raises(WeightsError, match="not the one that the run was made with") as raised:
        load_network(saved, digest="0" * 64)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("spoil", ["missing", "cut", "junk", "value", "header", "no header"])
def test_load_network__what_is_wrong_with_the_file_is_one_line(
    trained: Trained, saved: Path, spoil: str
) -> None:
    if spoil == "missing":
        saved.unlink()
    elif spoil == "cut":
        saved.write_bytes(saved.read_bytes()[:-100])
    elif spoil == "junk":
        saved.write_bytes(b"no weights at all")
    else:
        rewrite(saved, spoil)
    with pytest.raises(WeightsError) as raised:
        load_network(saved, digest=trained.backbone.digest)
    assert "\n" not in str(raised.value)
    assert NAME in str(raised.value)


def rewrite(path: Path, spoil: str) -> None:
    """One weight changed, a name in the header, or no header."""
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["headstart"])
    if spoil == "value":
        tensors["head.linear.bias"] += 1
    elif spoil == "header":
        header["arch"] = "timm:no_such_net"
    else:
        header = {"schema": 1}
    save_file(tensors, path, metadata={"headstart": json.dumps(header)})


@pytest.mark.parametrize("header", ["[]", "3", '{"schema": "\\u001b[31m"}', "[" * 100_000])
def test_load_network__a_header_of_another_form_is_one_line(header: str, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / NAME, metadata={"headstart": header})
    with pytest.raises(WeightsError) as caught:
        load_network(tmp_path / NAME, digest="0" * 64)
    assert str(caught.value).isprintable()
