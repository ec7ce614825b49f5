from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from headstart.backbones import Backbone
from headstart.data import Index
from headstart.experiments.compact import compact_backbone
from headstart.experiments.layers.nets import Nets, cut_points, with_layers_of
from headstart.experiments.layers.result import KINDS
from headstart.training import TrainSettings

SETTINGS = TrainSettings(
    epochs=1, lr=3e-3, layer_decay=1.0, bn="batch", augment="none", activations_mib=0
)


def make(seed: int) -> Backbone:
    return compact_backbone(16, seed=seed)


@pytest.fixture
def nets(indexed: Index, tmp_path: Path) -> Nets:
    # Base and target are the same here: what is copied is what is looked at.
    return Nets(base=indexed, target=indexed, make=make, settings=SETTINGS, cache=tmp_path)


def body(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix("body."): v for k, v in weights.items() if k.startswith("body.")}


@pytest.mark.parametrize("n", [1, 3, 5])
def test_with_layers_of__copies_up_to_the_cut_and_nothing_above(nets: Nets, n: int) -> None:
    weights = nets._base_weights("A", 0)
    fresh = make(5)
    done = with_layers_of(fresh, weights, f"conv{n}", SETTINGS)
    first, own = fresh.module.state_dict(), body(weights)
    for name, value in done.module.state_dict().items():
        stage = int(name[4]) if name.startswith("conv") else 6
        expected = own[name] if stage <= n else first[name]
        assert torch.equal(value, expected), name
    assert torch.equal(first["conv1.0.weight"], make(5).module.state_dict()["conv1.0.weight"])


def test_nets__a_frozen_net_keeps_its_lower_layers_to_the_bit(
    nets: Nets, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    real = Nets._train

    def spy(self: Nets, index: Index, start: Backbone, *rest: object) -> object:
        trained = real(self, index, start, *rest)  # type: ignore[arg-type]
        seen["start"], seen["end"] = start.module.state_dict(), body(trained.network.state_dict())
        return trained

    nets.base_net("B", 0)
    monkeypatch.setattr(Nets, "_train", spy)
    for kind in ("self_transfer", "random"):
        nets.net(kind, "conv3", 0)
        for name, value in seen["end"].items():
            is_low = name[:5] in ("conv1", "conv2", "conv3")
            assert torch.equal(value, seen["start"][name]) == is_low, (kind, name)
    nets.net("self_transfer_tuned", "conv3", 0)
    assert not torch.equal(seen["end"]["conv1.0.weight"], seen["start"]["conv1.0.weight"])


def test_nets__random_filters_have_statistics_of_the_target(nets: Nets) -> None:
    start = nets._start("random", "conv3", 0)
    fresh = make(100_003).module
    assert torch.equal(start.module.conv1[0].weight, fresh.conv1[0].weight)
    assert not torch.equal(start.module.conv1[1].running_mean, fresh.conv1[1].running_mean)


def test_nets__what_is_finished_is_read(nets: Nets, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [nets.base_net("A", 0), *(nets.net(kind, "conv2", 0) for kind in KINDS)]

    def never(*_: object) -> None:
        raise AssertionError("trained twice")

    monkeypatch.setattr(Nets, "_train", never)
    again = dataclasses.replace(nets, _weights={}, _random={})
    found = [again.base_net("A", 0), *(again.net(kind, "conv2", 0) for kind in KINDS)]
    assert [o.seconds for o in found] == [o.seconds for o in first]
    other = dataclasses.replace(again, settings=dataclasses.replace(SETTINGS, lr=1e-3))
    with pytest.raises(AssertionError, match="trained twice"):
        other.base_net("A", 0)


def test_nets__lost_weights_of_a_base_net_are_trained_again(nets: Nets) -> None:
    nets.base_net("A", 0)
    weights = nets._base_weights("A", 0)
    for file in (nets.cache / "generality").glob("*.safetensors"):
        file.write_bytes(b"damaged")
    again = dataclasses.replace(nets, _weights={})._base_weights("A", 0)
    assert weights.keys() == again.keys()
    for name, value in weights.items():
        assert torch.equal(value, again[name])


def test_cut_points__freeze_more_each_and_end_before_the_logits(tiny: Backbone) -> None:
    assert cut_points(make(0), SETTINGS) == ("conv1", "conv2", "conv3", "conv4", "conv5")
    assert cut_points(make(0), SETTINGS, most=3) == ("conv1", "conv3", "conv5")
    found = cut_points(tiny, SETTINGS)
    assert "logits" not in found
    assert 2 <= len(found) <= 8
