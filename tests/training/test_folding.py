"""Folded normalisation computes the same, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.backbones import load
from headstart.training.folding import find_folding


@pytest.fixture(params=["timm:test_efficientnet", "timm:resnet18", "resnet18"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    module = load(request.param, pretrained=False).module
    generator = torch.Generator().manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                assert values is not None
                values.data.uniform_(0.5, 1.5, generator=generator)
    return module.requires_grad_(True)


def test_fold__gives_the_same_output_and_gradients(network: nn.Module) -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    folding = find_folding(network, images)
    assert len(folding.pairs) >= 10
    expected = network(images)
    expected.square().mean().backward()
    expected = expected.detach()
    gradients = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    with folding.fold():
        found = network(images)
        found.square().mean().backward()
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    for name, parameter in network.named_parameters():
        scale = float(gradients[name].abs().max()) + 1e-12
        assert parameter.grad is not None
        assert float((parameter.grad - gradients[name]).abs().max()) <= 2e-3 * scale, name


def test_fold__leaves_layers_alone_whose_statistics_are_the_batchs(network: nn.Module) -> None:
    images = torch.randn(4, 3, 64, 64)
    folding = find_folding(network, images)
    norm = folding.pairs[0].norm
    norm.training = True
    before = norm.running_mean.clone() if norm.running_mean is not None else None
    with folding.fold():
        assert "forward" not in vars(norm)
        network(images)
    assert before is not None
    assert norm.running_mean is not None
    assert not torch.equal(norm.running_mean, before)


def test_fold__leaves_nothing_behind(network: nn.Module) -> None:
    folding = find_folding(network, torch.randn(2, 3, 64, 64))
    with pytest.raises(RuntimeError, match="stop"), folding.fold():
        raise RuntimeError("stop")
    assert not any("forward" in vars(module) for module in network.modules())


def test_find_folding__takes_no_pair_whose_convolution_is_read_elsewhere() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            out: torch.Tensor = self.norm(y) + y
            return out

    network = Branching().eval()
    network.norm.running_var.fill_(4.0)
    assert not find_folding(network, torch.randn(2, 3, 8, 8)).pairs
