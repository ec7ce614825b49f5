"""Batch normalisation with fixed statistics, as a part of the convolution before it.

``norm(conv(x)) = conv'(x)`` with ``w' = w * s`` and ``b' = beta + (b - m) * s`` for
``s = gamma / sqrt(v + eps)``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from timm.layers.norm_act import BatchNormAct2d


@dataclass(frozen=True, eq=False, slots=True)
class Pair:
    """A convolution and the BatchNorm of its output."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the convolution that does the work of both."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None
        assert variance is not None
        scale = self.norm.weight * torch.rsqrt(variance + self.norm.eps)
        bias = 0.0 if self.conv.bias is None else self.conv.bias
        return self.conv.weight * scale.reshape(-1, 1, 1, 1), self.norm.bias + (bias - mean) * scale


class AfterNorm(nn.Module):
    """What a normalisation of timm does besides: dropout and activation, under their own names."""

    def __init__(self, norm: BatchNormAct2d) -> None:
        super().__init__()
        self.drop, self.act = norm.drop, norm.act

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.drop(x))
        return y


def find_pairs(network: nn.Module, run: Callable[[], Any]) -> tuple[list[Pair], Any]:
    """The convolutions of `network` whose output goes to a BatchNorm with fixed statistics.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    run : callable
        Passes a few images through it.

    Returns
    -------
    pairs : list of Pair
    result
        What `run` returned.
    """
    # Here, so that predictions of a converted network import no timm.
    from timm.layers.conv2d_same import Conv2dSame
    from timm.layers.norm_act import BatchNormAct2d

    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: list[Pair] = []

    def on_conv(conv: Any, _: Any, output: Tensor) -> None:
        made[id(output)] = (conv, output)  # keep the tensor, so that its id is not reused

    def on_norm(norm: Any, args: tuple[Any, ...]) -> None:
        if id(args[0]) in made:
            pairs.append(Pair(made[id(args[0])][0], norm))

    with contextlib.ExitStack() as hooks, torch.no_grad():
        for module in network.modules():
            if type(module) in (nn.Conv2d, Conv2dSame):
                hooks.callback(module.register_forward_hook(on_conv).remove)
            elif type(module) in (nn.BatchNorm2d, BatchNormAct2d):
                hooks.callback(module.register_forward_pre_hook(on_norm).remove)
        result = run()
    return [p for p in pairs if p.norm.running_mean is not None and p.norm.affine], result


@torch.no_grad()
def fold_for_good(network: nn.Module, places: Iterable[tuple[str, str]]) -> None:
    """Fold each BatchNorm into its convolution, both given by their dotted paths.

    What is left of a BatchNorm, such as an activation, keeps its place.
    """
    from timm.layers.norm_act import BatchNormAct2d

    for of_conv, of_norm in places:
        conv, norm = network.get_submodule(of_conv), network.get_submodule(of_norm)
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        weight, bias = Pair(conv, norm).folded()
        conv.weight = nn.Parameter(weight, requires_grad=False)
        conv.bias = nn.Parameter(bias, requires_grad=False)
        rest = AfterNorm(norm) if isinstance(norm, BatchNormAct2d) else nn.Identity()
        network.set_submodule(of_norm, rest.eval())
