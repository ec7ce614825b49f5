"""Folding of batch normalisation with fixed statistics into the convolution before it.

With fixed statistics, ``norm(conv(x)) = conv'(x)`` with ``w' = w * s`` and ``b' = beta - m * s``
for ``s = gamma / sqrt(v + eps)``. The kernel is much smaller than the map, so normalisation
costs almost nothing; gamma, beta and w get their gradients through ``w'`` and ``b'``.
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

# Tolerance for a different order of sums, on logits of size one.
TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False, slots=True)
class Pair:
    """A convolution and the BatchNorm of its output."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d


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
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: list[Pair] = []

    def on_conv(conv: Any, _: Any, output: Tensor) -> None:
        made[id(output)] = (conv, output)  # keep the tensor, so that its id is not reused

    def on_norm(norm: Any, args: tuple[Any, ...]) -> None:
        if id(args[0]) in made:
            pairs.append(Pair(made[id(args[0])][0], norm))

    with contextlib.ExitStack() as hooks, torch.no_grad():
        for module in network.modules():
            if _is_plain_conv(module):
                hooks.callback(module.register_forward_hook(on_conv).remove)
            elif type(module) in (nn.BatchNorm2d, BatchNormAct2d):
                hooks.callback(module.register_forward_pre_hook(on_norm).remove)
        expected = network(images)
        made.clear()
    folding = Folding([p for p in pairs if _is_fixed(p.norm)])
    with folding.fold(), torch.no_grad():
        found = network(images)
    scale = max(1.0, float(expected.abs().max()))
    error = float((found - expected).abs().max())
    return folding if error <= TOLERANCE * scale else Folding()  # NaN is unequal


def _is_plain_conv(module: nn.Module) -> bool:
    return type(module) in (nn.Conv2d, Conv2dSame)


def _is_fixed(norm: nn.BatchNorm2d) -> bool:
    return norm.running_mean is not None and norm.affine


def _convolve(pair: Pair) -> Callable[[Tensor], Tensor]:
    conv, norm = pair.conv, pair.norm

    def forward(x: Tensor) -> Tensor:
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        weight = conv.weight * scale.reshape(-1, 1, 1, 1)
        bias = norm.bias + ((0.0 if conv.bias is None else conv.bias) - mean) * scale
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
