"""What each regime trains, by execution order, and that the rest stays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.backbones import Backbone, load
from headstart.errors import InputError
from headstart.training.network import Prepared, prepare
from headstart.training.regimes import (
    Division,
    FrozenError,
    divide,
    find_tap,
    hash_frozen,
    require_unchanged,
    set_modes,
)
from headstart.training.settings import TrainSettings

HEAD = {"head.linear.weight", "head.linear.bias"}


def divided(backbone: Backbone, **settings: object) -> tuple[Prepared, Division]:
    chosen = TrainSettings(size_px=32, **settings)  # type: ignore[arg-type]
    prepared = prepare(backbone, 2, chosen)
    return prepared, divide(prepared, chosen)


def names_of(prepared: Prepared) -> set[str]:
    return {name for name, _ in prepared.network.named_parameters()}


def test_divide__all_and_scratch_train_everything(tiny_resnet: Backbone) -> None:
    for regime in ("all", "scratch"):
        prepared, division = divided(tiny_resnet, regime=regime)
        assert set(division.stages) == names_of(prepared)
        assert not division.frozen
        assert division.cut is None


def test_divide__output_trains_the_new_layer(tiny_resnet: Backbone) -> None:
    prepared, division = divided(tiny_resnet, regime="output")
    assert set(division.stages) == HEAD
    assert set(division.frozen) == names_of(prepared) - HEAD
    assert division.cut == prepared.features_tap


def test_divide__upper_and_lower_share_the_network_out(tiny_resnet: Backbone) -> None:
    prepared, upper = divided(tiny_resnet, regime="upper", tap="layer2")
    _, lower = divided(tiny_resnet, regime="lower", tap="layer2")
    assert set(upper.stages) & set(lower.stages) == HEAD
    assert set(upper.stages) | set(lower.stages) == names_of(prepared)
    below = ("body.conv1", "body.bn1", "body.layer1", "body.layer2")
    assert all(name.startswith((*below, "head")) for name in lower.stages)
    assert not any(name.startswith(below) for name in upper.stages)
    assert "body.bn1" in upper.frozen_modules
    assert "body.bn1" not in lower.frozen_modules


def test_divide__parameters_outside_of_layers_go_by_their_use() -> None:
    backbone = load("timm:test_vit", pretrained=False)
    tap = backbone.taps[0].name
    settings = TrainSettings(regime="upper", tap=tap)
    division = divide(prepare(backbone, 2, settings), settings)
    # The embedding of positions is added by the network itself, before its first block.
    assert "body.pos_embed" in division.frozen
    assert "body.norm.weight" in division.stages


def test_divide__a_straddling_network_is_divided_where_it_runs_and_not_by_names() -> None:
    class Backwards(nn.Module):
        """Its modules are defined in the reverse of the order in which they run."""

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 5)
            self.second = nn.Conv2d(4, 4, 1)
            self.first = nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.second(self.first(x).relu()).relu()
            out: torch.Tensor = self.fc(x.mean((2, 3)))
            return out

    import dataclasses

    from headstart.backbones import Tap

    backbone = load("squeezenet1_1", pretrained=False)
    taps = (
        Tap(name="first", module="first", kind="map", n_features=4),
        Tap(name="pooled", module="fc", kind="vector", n_features=4, side="input"),
        Tap(name="logits", module="fc", kind="vector", n_features=5),
    )
    preprocessing = backbone.preprocessing.at(8)
    odd = dataclasses.replace(
        backbone, module=Backwards().eval(), taps=taps, preprocessing=preprocessing
    )
    settings = TrainSettings(regime="lower", tap="first")
    division = divide(prepare(odd, 2, settings), settings)
    assert set(division.stages) == {"body.first.weight", "body.first.bias"} | HEAD
    assert division.stages["body.first.weight"] == 0
    assert division.n_stages == 2


def test_divide__stages_end_at_taps(tiny_resnet: Backbone) -> None:
    _, division = divided(tiny_resnet, regime="all")
    stages = division.stages
    order = ["body.conv1.0.weight", "body.layer1.0.conv1.weight", "body.layer2.0.conv1.weight"]
    order = [name for name in order if name in stages] + ["head.linear.weight"]
    assert [stages[name] for name in order] == sorted({stages[name] for name in order})
    assert stages["head.linear.weight"] == division.n_stages - 1


def test_find_tap__that_does_not_exist_is_told_with_those_that_do(tiny_resnet: Backbone) -> None:
    with pytest.raises(InputError, match=r"no tap 'layer9'\. Did you mean .*It has: .*layer1"):
        find_tap(tiny_resnet, "layer9")
    with pytest.raises(InputError, match="a new layer replaces"):
        find_tap(tiny_resnet, "logits")


def test_set_modes__frozen_parts_run_as_at_test(tiny_resnet: Backbone) -> None:
    prepared, division = divided(tiny_resnet, regime="upper", tap="layer2")
    set_modes(prepared.network, division)
    modules = dict(prepared.network.named_modules())
    assert not modules["body.bn1"].training
    assert modules["head.dropout"].training
    gradients = {n for n, p in prepared.network.named_parameters() if p.requires_grad}
    assert gradients == set(division.stages)


@pytest.mark.parametrize("kind", ["parameter", "buffer"])
def test_require_unchanged__tells_what_changed(kind: str, tiny_resnet: Backbone) -> None:
    prepared, division = divided(tiny_resnet, regime="output")
    before = hash_frozen(prepared.network, division)
    require_unchanged(before, hash_frozen(prepared.network, division))
    state = prepared.network.state_dict()
    name = next(n for n in state if n.endswith("running_var" if kind == "buffer" else "weight"))
    state[name].view(-1)[0] += 1e-6
    with pytest.raises(FrozenError, match=name):
        require_unchanged(before, hash_frozen(prepared.network, division))


def test_hash_frozen__leaves_out_what_is_trained(tiny_resnet: Backbone) -> None:
    prepared, division = divided(tiny_resnet, regime="lower", tap="layer2")
    before = hash_frozen(prepared.network, division)
    with torch.no_grad():
        for name, value in prepared.network.state_dict().items():
            if name.startswith(("body.conv1", "body.bn1", "head")) and value.is_floating_point():
                value.add_(1)
    require_unchanged(before, hash_frozen(prepared.network, division))
