"""Smoothness of the loss along a training, and how much lower layers shift higher ones.

The measures of Santurkar, Tsipras, Ilyas and Madry (2018), "How does batch normalization help
optimization?", on one batch at the current weights, which are restored afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Loss = Callable[[], Tensor]
Parameters = Sequence[nn.Parameter]


@dataclass(frozen=True)
class Smoothness:
    """Along the gradient, over a range of step lengths (section 3.1, figure 4)."""

    variation: float  # highest minus lowest loss over the step lengths ("variation of the loss")
    # largest Euclidean distance between the gradients before and after a step ("gradient
    # predictiveness"; small is predictive)
    predictiveness: float
    # Largest such distance divided by the length of the step ("effective beta-smoothness"), the
    # largest curvature. The weights of a layer before BatchNorm can be scaled freely, which changes
    # this figure but not the function.
    beta: float


@dataclass(frozen=True)
class Shift:
    """Internal covariate shift of one layer in one step (definition 2.1)."""

    # Euclidean distance between the layer's gradient before and after the layers below it took
    # their step
    distance: float
    relative: float  # the same divided by the norm of the gradient before; 0 if both are 0
    cosine: float  # cosine of the angle between the two; 1 is no change of direction


def smoothness(loss: Loss, parameters: Parameters, step_lengths: Sequence[float]) -> Smoothness:
    """Evaluate loss and gradient after steps of each length along the gradient.

    Parameters
    ----------
    loss : callable () -> scalar tensor
        Loss of one batch at the current parameters.
    step_lengths : sequence of float
        Factors of the gradient: learning rates.

    Returns
    -------
    Smoothness
        Infinite where the loss or the gradient is not finite.
    """
    _, here = _loss_and_gradient(loss, parameters)
    size = _norm(here)
    losses, changes, slopes = [], [], []
    for length in step_lengths:
        with _moved(parameters, here, -length):
            value, there = _loss_and_gradient(loss, parameters)
        change = _norm([a - b for a, b in zip(here, there, strict=True)])
        losses.append(value)
        changes.append(change)
        slopes.append(change / (length * size) if size > 0 else 0.0)
    return Smoothness(
        variation=_finite(max(losses) - min(losses)),
        predictiveness=_finite(max(changes)),
        beta=_finite(max(slopes)),
    )


def covariate_shift(
    loss: Loss, layers: Sequence[Parameters], rates: Sequence[float]
) -> tuple[Shift, ...]:
    """Change of each layer's gradient when the layers below it take their step.

    Parameters
    ----------
    loss : callable () -> scalar tensor
        Loss of one batch at the current parameters.
    layers : sequence of sequences of Parameter
        From input to output.
    rates : sequence of float
        Learning rates of plain gradient descent, one per layer.

    Returns
    -------
    tuple of Shift
        One per layer; the first has nothing below it and does not shift.
    """
    everything = [p for layer in layers for p in layer]
    _, flat = _loss_and_gradient(loss, everything)
    before, start = [], 0
    for layer in layers:
        before.append(flat[start : start + len(layer)])
        start += len(layer)
    shifts = []
    for i, layer in enumerate(layers):
        below = [p for part in layers[:i] for p in part]
        steps = [rate * g for rate, part in zip(rates[:i], before[:i], strict=True) for g in part]
        with _moved(below, steps, -1.0):
            _, after = _loss_and_gradient(loss, layer)
        shifts.append(_shift(before[i], after))
    return tuple(shifts)


def _shift(before: Sequence[Tensor], after: Sequence[Tensor]) -> Shift:
    distance = _norm([a - b for a, b in zip(before, after, strict=True)])
    one, other = _norm(before), _norm(after)
    dot = math.fsum(float((a * b).sum()) for a, b in zip(before, after, strict=True))
    return Shift(
        distance=_finite(distance),
        relative=_finite(distance / one) if one > 0 else 0.0,
        cosine=max(-1.0, min(1.0, dot / (one * other))) if one * other > 0 else 1.0,
    )


def _loss_and_gradient(loss: Loss, parameters: Parameters) -> tuple[float, list[Tensor]]:
    value = loss()
    return float(value.detach()), list(torch.autograd.grad(value, list(parameters)))


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(math.fsum(float(t.double().square().sum()) for t in tensors))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf


@contextmanager
def _moved(parameters: Parameters, by: Sequence[Tensor], times: float) -> Iterator[None]:
    """The parameters moved by ``times * by``, and restored bit for bit afterwards."""
    kept = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        for p, step in zip(parameters, by, strict=True):
            p.add_(step, alpha=times)
    try:
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(parameters, kept, strict=True):
                p.copy_(value)
