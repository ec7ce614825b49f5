"""Batch normalisation with statistics of a batch that is divided over several processes.

Like torch's `SyncBatchNorm`, but also on CPUs (which that class refuses) and without replacing modules:
within `synced` the layers that use batch statistics have another forward function.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.errors import InputError, argument
from headstart.training.folding import after_norm

if TYPE_CHECKING:
    from headstart.training.processes import Processes

_KNOWN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, BatchNormAct2d)


@contextlib.contextmanager
def synced(network: nn.Module, processes: Processes) -> Iterator[None]:
    """Within the context, layers with batch statistics use those over all processes.

    Raises InputError where the class of a layer is not supported.

    `network`: affects its BatchNorm layers that are in training mode on entry. `processes`: with a
    single one nothing changes.
    """
    layers = with_batch_statistics(network) if processes.is_several else []
    for layer in layers:
        if type(layer) not in _KNOWN:
            raise InputError(
                f"BatchNorm layers of the class {type(layer).__name__} cannot take their statistics "
                f"over several processes: take {argument('bn', 'source')}, or one process"
            )
    try:
        for layer in layers:
            # A plain attribute shadows the class's method and is not part of the state.
            layer.__dict__["forward"] = _forward(layer)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def with_batch_statistics(network: nn.Module) -> list[_BatchNorm]:
    """The BatchNorm layers that are in training mode."""
    return [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training]


def _forward(layer: _BatchNorm) -> Callable[[Tensor], Tensor]:
    after = after_norm(layer)

    def forward(x: Tensor) -> Tensor:
        y, mean, variance, n = _Normalise.apply(x, layer.weight, layer.bias, layer.eps)
        _follow(layer, mean, variance * (n / (n - 1)))
        result: Tensor = after(y)
        return result

    return forward


@torch.no_grad()
def _follow(layer: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Update the running statistics, as torch does."""
    if not layer.track_running_stats or layer.running_mean is None or layer.running_var is None:
        return
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked.add_(1)
    momentum = layer.momentum
    step = 1 / float(layer.num_batches_tracked) if momentum is None else momentum
    layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), step)
    layer.running_var.lerp_(variance.to(layer.running_var.dtype), step)


class _Normalise(torch.autograd.Function):
    """``(x - m) / sqrt(v + eps) * weight + bias`` with the mean and variance of all processes' ``x``.

    One all-reduce in each direction, in float64, so that the mean of squares minus the square of the
    mean is accurate. Gradients of weight and bias are for this process's images only, like those of all
    parameters before DDP sums them.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        n_here = x.numel() // x.shape[1]
        variance, mean = torch.var_mean(x.float(), dim=axes, correction=0)
        variance, mean = variance.double(), mean.double()
        count = torch.full((1,), float(n_here), dtype=torch.float64, device=x.device)
        sums = torch.cat([count, n_here * mean, n_here * (variance + mean.square())])
        torch.distributed.all_reduce(sums)
        n, half = sums[0], x.shape[1] + 1
        mean = sums[1:half] / n
        variance = (sums[half:] / n - mean.square()).clamp_(min=0)
        scale = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean.float(), scale.float(), n)
        gain = scale if weight is None else scale * weight
        wide = (x.float() - _along(mean.float(), x)) * _along(gain.float(), x)
        if bias is not None:
            wide += _along(bias.float(), x)
        ctx.mark_non_differentiable(mean, variance)
        return wide.to(x.dtype), mean, variance, int(n)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, n = ctx.saved_tensors
        axes = [axis for axis in range(x.ndim) if axis != 1]
        grad = grad.float()
        centred = x.float() - _along(mean, x)
        own = torch.stack([grad.sum(axes), (grad * centred).sum(axes)])
        sums = own.double()
        torch.distributed.all_reduce(sums)
        of_grad, of_product = (sums / n).float()
        gain = scale if weight is None else scale * weight.float()
        inner = grad - _along(of_grad, x) - centred * _along(scale.square() * of_product, x)
        found = (inner * _along(gain, x)).to(x.dtype)
        if weight is None:
            return found, None, None, None
        return found, (own[1] * scale).to(weight.dtype), own[0].to(weight.dtype), None


def _along(values: Tensor, x: Tensor) -> Tensor:
    """Reshape ``(C,)`` to broadcast with ``(B, C, ...)``."""
    return values.view(1, -1, *[1] * (x.ndim - 2))
