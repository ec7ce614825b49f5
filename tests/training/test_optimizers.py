"""Parameter groups and torch's optimizers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.training.optimizers import (
    Group,
    is_decayed,
    make_groups,
    make_optimizer,
    set_rates,
)
from headstart.training.settings import OPTIMIZERS, TrainSettings


@pytest.fixture
def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


STAGES = {"0.weight": 0, "0.bias": 0, "1.weight": 1, "1.bias": 1, "2.weight": 2, "2.bias": 2}


def test_make_groups__rates_fall_from_stage_to_stage(network: nn.Module) -> None:
    groups = make_groups(network, STAGES, layer_decay=0.5, weight_decay=0.1)
    factors = {name: group.factor for group in groups for name in group.names}
    assert factors == {
        "0.weight": 0.25, "0.bias": 0.25, "1.weight": 0.5, "1.bias": 0.5, "2.weight": 1, "2.bias": 1
    }  # fmt: skip


def test_make_groups__norms_and_biases_do_not_decay(network: nn.Module) -> None:
    groups = make_groups(network, STAGES, layer_decay=0.5, weight_decay=0.1)
    decays = {name for group in groups if group.weight_decay for name in group.names}
    assert decays == {"0.weight", "2.weight"}


def test_is_decayed__not_tokens_embeddings_and_layer_scales() -> None:
    assert not is_decayed("cls_token", torch.zeros(1, 4, 8))
    assert not is_decayed("encoder.pos_embedding", torch.zeros(1, 4, 8))
    assert not is_decayed("gamma", torch.zeros(8, 1, 1))
    assert is_decayed("proj.weight", torch.zeros(8, 3, 2, 2))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_make_optimizer__each_takes_a_step_with_its_rates(name: str, network: nn.Module) -> None:
    settings = TrainSettings(optimizer=name, lr=0.1, layer_decay=0.5)
    groups = make_groups(network, STAGES, layer_decay=0.5, weight_decay=0.1)
    optimizer = make_optimizer(network, groups, settings)
    set_rates(optimizer, groups, 0.1, lowest_stage=1)
    assert {g["lr"] for g in optimizer.param_groups} == {0.0, 0.05, 0.1}
    before = {n: p.clone() for n, p in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"1.weight", "1.bias", "2.weight", "2.bias"}


def test_make_optimizer__momentum_and_nesterov_are_torchs() -> None:
    linear = nn.Linear(2, 2)
    groups = make_groups(linear, {"weight": 0, "bias": 0}, layer_decay=1, weight_decay=0)
    made = {n: make_optimizer(linear, groups, TrainSettings(optimizer=n)) for n in OPTIMIZERS}
    flags = {n: (o.defaults.get("momentum"), o.defaults.get("nesterov")) for n, o in made.items()}
    assert flags["sgd"] == (0, False)
    assert flags["momentum"] == (0.9, False)
    assert flags["nesterov"] == (0.9, True)
    assert isinstance(made["adamw"], torch.optim.AdamW)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_make_optimizer__fused_takes_the_same_steps(name: str) -> None:
    found = []
    for is_fused in (False, True):
        torch.manual_seed(0)
        layer = nn.Linear(5, 3)
        group = Group(stage=0, names=("weight", "bias"), factor=1.0, weight_decay=0.1)
        settings = TrainSettings(optimizer=name, lr=0.05)
        optimizer = make_optimizer(layer, [group], settings, is_fused=is_fused)
        for _ in range(5):
            optimizer.zero_grad()
            layer(torch.ones(2, 5)).square().sum().backward()
            optimizer.step()
        found.append(layer.weight.detach())
    torch.testing.assert_close(*found)
