from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.course.labs.networks import Dropout, Noise, convnet, perceptron, trained_layers


def test_dropout__drops_its_share_and_keeps_the_mean() -> None:
    layer = Dropout(0.25, torch.Generator().manual_seed(0))
    values = layer(torch.ones(200, 200))
    assert float((values == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(values.mean()) == pytest.approx(1, abs=0.01)
    assert values.unique().tolist() == pytest.approx([0, 1 / 0.75])


def test_dropout__at_rest_changes_nothing() -> None:
    layer = Dropout(0.5, torch.Generator()).eval()
    values = torch.randn(3, 4)
    assert torch.equal(layer(values), values)


def test_noise__changes_training_only() -> None:
    layer = Noise(torch.Generator().manual_seed(0))
    maps = torch.zeros(4, 3, 2, 2)
    first, second = layer(maps), layer(maps)
    assert not torch.equal(first, second)
    assert float(first.abs().max()) <= 0.6
    assert torch.equal(layer.eval()(maps), maps)


def test_perceptron__same_seed_same_weights_whatever_torch_has_drawn() -> None:
    torch.manual_seed(1)
    first = perceptron(16, 3, hidden=(8,), dropout=0.5, seed=4)
    torch.manual_seed(2)
    second = perceptron(16, 3, hidden=(8,), dropout=0.5, seed=4)
    images = torch.randn(5, 1, 4, 4)
    assert torch.equal(first(images), second(images))
    assert first(images).shape == (5, 3)


def test_perceptron__leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    perceptron(16, 3, hidden=(8,), seed=0)
    convnet(1, 3, width=4, n_layers=2, norm="noisy", seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_convnet__starts_equal_with_and_without_batchnorm() -> None:
    def kernels(norm: str) -> list[torch.Tensor]:
        network = convnet(1, 3, width=4, n_layers=4, norm=norm, seed=0)
        return [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]

    for one, other, third in zip(
        kernels("with"), kernels("without"), kernels("noisy"), strict=True
    ):
        assert torch.equal(one, other)
        assert torch.equal(one, third)


def test_convnet__keeps_the_size_of_signals_without_batchnorm() -> None:
    network = convnet(1, 3, width=64, n_layers=4, norm="without", seed=0)
    images = torch.randn(16, 1, 12, 12)
    maps = network[:2](images)
    for part in network[2:-3]:
        maps = part(maps)
    # He's weights keep the mean square; pooling by the maximum raises it, edges lower it.
    assert 0.2 < maps.detach().square().mean().item() < 5


def test_trained_layers__put_batchnorm_to_the_layer_below_it() -> None:
    network = convnet(1, 3, width=4, n_layers=2, norm="with", seed=0)
    assert [len(layer) for layer in trained_layers(network)] == [4, 4, 2]
    everything = [p for layer in trained_layers(network) for p in layer]
    assert len(everything) == len(list(network.parameters()))
