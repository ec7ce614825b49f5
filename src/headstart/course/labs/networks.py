"""The small networks of the experiments: one perceptron and one ConvNet, initialised by a seed.

Weights are initialised as He et al. (2015) propose for ReLU, so that a network without normalisation
starts well. The global random state is not used.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Inverted dropout (Srivastava 2014) with its own generator.

    In training each value is set to zero with probability ``rate`` and otherwise divided by
    ``1 - rate``; in eval mode nothing changes.
    """

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        super().__init__()
        self.rate, self._generator = rate, generator

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return values
        kept = torch.rand(values.shape, generator=self._generator) >= self.rate
        return values * kept / (1 - self.rate)


class Noise(nn.Module):
    """Random shift and scale of the maps, drawn again at every forward pass in training.

    It undoes the equal means and deviations that BatchNorm produces, after algorithm 1 of Santurkar
    et al. (2018), here per channel and image: the shift of a channel is drawn from [-0.5, 0.5], its
    scale from [1, 1.25], and those of an image deviate from them by up to 0.1.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def forward(self, values: Tensor) -> Tensor:
        if not self.training:
            return values
        n, n_channels = values.shape[:2]
        shift, scale = torch.rand(2, 1, n_channels, 1, 1, generator=self._generator)
        own = torch.rand(2, n, n_channels, 1, 1, generator=self._generator).sub(0.5).mul(0.2)
        changed: Tensor = values * (1 + 0.25 * scale + own[0]) + (shift - 0.5 + own[1])
        return changed


def perceptron(
    n_inputs: int, n_classes: int, *, hidden: tuple[int, ...], dropout: float = 0.0, seed: int
) -> nn.Sequential:
    """A multilayer perceptron with ReLU, and dropout after each hidden layer.

    Parameters
    ----------
    n_inputs : int
        Values of an image: channels times pixels.
    hidden : tuple of int
        Widths of the hidden layers.
    dropout : float in [0, 1)
    seed : int
        Random seed for the weights and for dropout.

    Returns
    -------
    torch.nn.Sequential
        Takes images (B, C, S, S), gives logits (B, n_classes).
    """
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise((n_inputs, *hidden)):
        layers += [_drawn(_empty(nn.Linear, before, after), generator), nn.ReLU()]
        if dropout:
            layers.append(Dropout(dropout, torch.Generator().manual_seed(seed * 100 + len(layers))))
    last = _empty(nn.Linear, hidden[-1] if hidden else n_inputs, n_classes)
    return nn.Sequential(*layers, _drawn(last, generator, gain=1.0))


def convnet(
    n_channels: int, n_classes: int, *, width: int, n_layers: int, norm: str, seed: int
) -> nn.Sequential:
    """3 x 3 convolutions with ReLU; half-way the size is halved and the width doubled.

    The initial weights of the convolutions do not depend on `norm`.

    Parameters
    ----------
    width : int
        Maps of the first half of the layers.
    n_layers : int
        Convolutions, 2 or more; a linear layer on the average over positions follows.
    norm : {"without", "with", "noisy"}
        Between a convolution and its ReLU: nothing, BatchNorm, or BatchNorm and `Noise`.
    seed : int
        Random seed for the weights and the noise.

    Returns
    -------
    torch.nn.Sequential
        Takes images (B, C, S, S), gives logits (B, n_classes).
    """
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    before = n_channels
    for i in range(n_layers):
        after = width if i < n_layers // 2 else 2 * width
        conv = _empty(nn.Conv2d, before, after, 3, padding=1)
        layers.append(_drawn(conv, generator))
        if norm != "without":
            layers.append(nn.BatchNorm2d(after))
        if norm == "noisy":
            layers.append(Noise(torch.Generator().manual_seed(seed * 100 + i)))
        layers.append(nn.ReLU())
        if i == n_layers // 2 - 1:
            layers.append(nn.MaxPool2d(2))
        before = after
    last = _drawn(_empty(nn.Linear, before, n_classes), generator, gain=1.0)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)


def trained_layers(network: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of each layer from input to output; a BatchNorm counts with the layer before it."""
    layers: list[list[nn.Parameter]] = []
    for part in network.children():
        own = list(part.parameters())
        if isinstance(part, nn.Conv2d | nn.Linear):
            layers.append(own)
        elif own:
            layers[-1] += own
    return layers


def _empty(kind: type[nn.Module], *sizes: int, **options: Any) -> nn.Module:
    """An uninitialised layer: torch's own initialisation would use its global generator."""
    layer = nn.utils.skip_init(kind, *sizes, **options)  # type: ignore[no-untyped-call]
    assert isinstance(layer, nn.Module)
    return layer


def _drawn(layer: nn.Module, generator: torch.Generator, gain: float = math.sqrt(2)) -> nn.Module:
    """Initialise with normal weights of deviation ``gain / sqrt(inputs)`` and zero biases."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    with torch.no_grad():
        weight.normal_(0, gain / math.sqrt(weight[0].numel()), generator=generator)
        bias.zero_()
    return layer
