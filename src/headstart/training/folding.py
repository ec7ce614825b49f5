"""Folding of batch normalisation with fixed statistics into the convolution before it.

The formula is that of :mod:`headstart.backbones.folding`. The kernel is much smaller than the map, so
normalisation costs almost nothing; gamma, beta and w get their gradients through ``w'`` and ``b'``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame, conv2d_same
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from headstart.backbones.folding import Pair, find_pairs

# Tolerance for a different order of sums, relative to the largest logit.
TOLERANCE = 1e-3


@dataclass
class Folding:
    """The foldable pairs of a network; `fold` folds those whose statistics are currently fixed."""

    pairs: list[Pair] = field(default_factory=list)

    @contextlib.contextmanager
    def fold(self) -> Iterator[None]:
        """Fold within the context; the output does not change."""
        folded = [pair for pair in self.pairs if not pair.norm.training]
        try:
            for pair in folded:
                # Plain attributes shadow the class's methods and are not part of the state.
                pair.conv.__dict__["forward"] = _convolve(pair)
                pair.norm.__dict__["forward"] = after_norm(pair.norm)
            yield
        finally:
            for pair in folded:
                pair.conv.__dict__.pop("forward", None)
                pair.norm.__dict__.pop("forward", None)


def find_folding(network: nn.Module, images: Tensor) -> Folding:
    """The pairs of `network` that fold without changing its output; none if any of them changes it.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    images : Tensor of shape (B, 3, H, W)
        Test images.
    """
    pairs, expected = find_pairs(network, lambda: network(images))
    folding = Folding(pairs)
    with folding.fold(), torch.no_grad():
        found = network(images)
    error, scale = (float(values.abs().max()) for values in (found - expected, expected))
    return folding if error <= TOLERANCE * scale else Folding()  # NaN is unequal


def _convolve(pair: Pair) -> Callable[[Tensor], Tensor]:
    conv = pair.conv

    def forward(x: Tensor) -> Tensor:
        weight, bias = pair.folded()
        whole: Tensor
        if isinstance(conv, Conv2dSame):
            sizes: Any = (conv.stride, conv.padding, conv.dilation, conv.groups)
            whole = conv2d_same(x, weight, bias, *sizes)
        else:
            whole = conv._conv_forward(x, weight, bias)
        return whole

    return forward


def after_norm(norm: nn.Module) -> Callable[[Tensor], Tensor]:
    """The rest of a normalisation layer: timm's include dropout and the activation."""
    if isinstance(norm, BatchNormAct2d):
        return lambda x: norm.act(norm.drop(x))
    return lambda x: x
