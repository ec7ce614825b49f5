"""The learning-rate range test: a short training at ever larger rates, then undone.

Smith (2017, section 3.3) raises the rate from step to step and reads off where the loss begins to
fall and where it breaks out; Howard's fastai made it exponential and stops it at divergence.
"""

from __future__ import annotations

import contextlib
import copy
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.errors import InputError, argument
from headstart.progress import Progress, silent

Floats = NDArray[np.float64]

# The running average that is watched for divergence while the test goes on.
MEMORY = 0.9
# Standard deviation of the smoothing of the finished curve, as a share of the steps.
WIDTH = 0.04
# Fewer steps show no slope.
MIN_STEPS = 10


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """What a range test saw.

    Attributes
    ----------
    rates : ndarray of shape (n_steps,), float64
        Of the fastest parameter group; rising.
    losses, smoothed : ndarray of shape (n_steps,), float64
        Loss of each step's batch before the step; and without its noise.
    stopped : {"end", "diverged", "out of batches"}
        Why it ended.
    steepest, lowest : float or None
        The rates at which the smoothed loss falls fastest in ``log(rate)``, and is least.
    suggestion : float or None
        The smaller of `steepest` and a tenth of `lowest`; None where no rate lowered the loss by
        more than its noise.
    """

    rates: Floats
    losses: Floats
    smoothed: Floats
    stopped: str
    steepest: float | None
    lowest: float | None
    suggestion: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        arrays = {k: getattr(self, k).tolist() for k in ("rates", "losses", "smoothed")}
        marks = {k: getattr(self, k) for k in ("stopped", "steepest", "lowest", "suggestion")}
        return arrays | marks


def range_test(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Any],
    loss_of: Callable[[nn.Module, Any], Tensor],
    *,
    smallest: float = 1e-6,
    largest: float = 10.0,
    n_steps: int = 100,
    divergence: float = 4.0,
    generators: Sequence[torch.Generator] = (),
    progress: Progress = silent,
) -> RangeTest:
    """Train for some steps at exponentially rising rates, and put everything back.

    Module (weights, buffers, gradients, modes), optimizer and random states (Python, NumPy, torch
    on CPU and CUDA, and `generators`) are afterwards as before, to the last bit, also where the
    test fails or is interrupted. An iterator given as `batches` is used up all the same.

    Parameters
    ----------
    module : nn.Module
        In the modes it trains in.
    optimizer : torch.optim.Optimizer
        Over its parameters. The rates of parameter groups keep their ratios: the largest is the one
        that is varied and reported.
    batches : iterable
        Begun again where it ends before the test does, unless it is an iterator.
    loss_of : callable
        ``loss_of(module, batch)`` gives a scalar Tensor with a gradient.
    smallest, largest : float, above 0
        Rates of the first and last step.
    n_steps : int, at least 10
    divergence : float, above 1, default=4
        The test ends where the running average of the loss is this many times its least, or is not
        finite.
    generators : sequence of torch.Generator, optional
        That `batches` or `loss_of` draw from.
    progress : Progress, optional

    Returns
    -------
    RangeTest

    Raises
    ------
    InputError
        If the range or the number of steps is of no use, or there are too few batches.
    """
    _check(smallest, largest, n_steps, divergence)
    rates = np.geomspace(smallest, largest, n_steps)
    losses: list[float] = []
    stopped = "out of batches"
    with _untouched(module, optimizer, generators):
        shares = _shares(optimizer)
        watched = _Watch(divergence)
        # The rates first: at their end no further batch is drawn.
        for rate, batch in zip(rates, _again(batches), strict=False):
            losses.append(_step(module, optimizer, batch, loss_of, rate, shares))
            progress("range test", len(losses), n_steps)
            if watched.has_diverged(losses[-1]):
                stopped = "diverged"
                break
    if len(losses) == n_steps and stopped != "diverged":
        stopped = "end"
    if stopped == "out of batches" and len(losses) < MIN_STEPS:
        raise InputError(
            f"a range test needs {MIN_STEPS} or more batches, got {len(losses)}: "
            f"take a smaller {argument('batch_size')}"
        )
    return _judge(rates[: len(losses)], np.array(losses), stopped)


def _check(smallest: float, largest: float, n_steps: int, divergence: float) -> None:
    if not 0 < smallest < largest < math.inf:
        raise InputError(f"a range test needs 0 < smallest < largest; got {smallest}, {largest}")
    if n_steps < MIN_STEPS:
        raise InputError(f"a range test needs {MIN_STEPS} or more steps; got {n_steps}")
    if not divergence > 1:
        raise InputError(f"divergence must be above 1; got {divergence}")


def _shares(optimizer: torch.optim.Optimizer) -> list[float]:
    """The rate of each parameter group relative to the largest; alike where all are 0."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    top = max(rates)
    return [rate / top if top > 0 else 1.0 for rate in rates]


def _step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Any,
    loss_of: Callable[[nn.Module, Any], Tensor],
    rate: float,
    shares: Sequence[float],
) -> float:
    """One step at `rate`; the loss before it."""
    for group, share in zip(optimizer.param_groups, shares, strict=True):
        group["lr"] = float(rate) * share
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(module, batch)
    value = float(loss.detach())
    if math.isfinite(value):
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return value


class _Watch:
    """Tells when the running average of the loss has left its least behind."""

    def __init__(self, factor: float) -> None:
        self.factor, self.total, self.weight, self.least = factor, 0.0, 0.0, math.inf

    def has_diverged(self, loss: float) -> bool:
        """Take in one loss."""
        if not math.isfinite(loss):
            return True
        self.total = MEMORY * self.total + (1 - MEMORY) * loss
        self.weight = MEMORY * self.weight + (1 - MEMORY)
        average = self.total / self.weight
        self.least = min(self.least, average)
        return average > self.factor * self.least


def _again(batches: Iterable[Any]) -> Iterator[Any]:
    """`batches` over and over; an iterator, or what has no batch, once."""
    while True:
        n = 0
        for batch in batches:
            n += 1
            yield batch
        if n == 0 or iter(batches) is batches:
            return


def _judge(rates: Floats, losses: Floats, stopped: str) -> RangeTest:
    """Smooth the curve and read the rates off it."""
    finite = np.isfinite(losses)
    rates, losses = rates[finite], losses[finite]
    smooth, error = _smoothed(losses)
    steepest = lowest = suggestion = None
    if len(losses) >= MIN_STEPS:
        low = int(smooth.argmin())
        slopes = np.gradient(smooth, np.log(rates))
        steep = int(slopes[: low + 1].argmin())
        if smooth[:low].max(initial=smooth[low]) - smooth[low] > 4 * error:
            steepest, lowest = float(rates[steep]), float(rates[low])
            suggestion = min(steepest, lowest / 10)
    return RangeTest(
        rates=rates,
        losses=losses,
        smoothed=smooth,
        stopped=stopped,
        steepest=steepest,
        lowest=lowest,
        suggestion=suggestion,
    )


def _smoothed(losses: Floats) -> tuple[Floats, float]:
    """The losses under a Gaussian, centred so that it does not lag, and its standard error.

    The noise is taken from the second differences, which a trend does not touch.
    """
    n = len(losses)
    if n < 3:
        return losses.copy(), math.inf
    width = max(1.0, WIDTH * n)
    places = np.arange(n)
    kernel = np.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    jitter = 1.4826 * float(np.median(np.abs(np.diff(losses, 2)))) / math.sqrt(6)
    return kernel @ losses, jitter * float(np.sqrt((kernel[n // 2] ** 2).sum()))


@contextlib.contextmanager
def _untouched(
    module: nn.Module, optimizer: torch.optim.Optimizer, generators: Sequence[torch.Generator]
) -> Iterator[None]:
    """Whatever happens within the context to module, optimizer and random states is undone."""
    with contextlib.ExitStack() as undo:
        undo.callback(_random_states(generators))
        undo.callback(_optimizer_state(optimizer))
        undo.callback(_module_state(module))
        yield


def _module_state(module: nn.Module) -> Callable[[], None]:
    """What puts weights, buffers, gradients and modes back."""
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    saved = [t.detach().clone() for t in tensors]
    gradients = [
        (p, p.grad, None if p.grad is None else p.grad.clone()) for p in module.parameters()
    ]
    modes = [(part, part.training) for part in module.modules()]

    @torch.no_grad()
    def restore() -> None:
        for tensor, value in zip(tensors, saved, strict=True):
            tensor.copy_(value)
        for parameter, gradient, kept in gradients:
            parameter.grad = gradient
            if gradient is not None and kept is not None:
                gradient.copy_(kept)
        for part, training in modes:
            part.training = training

    return restore


def _optimizer_state(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """What puts the optimizer's moments, counters and options back."""
    # The parameters are keys and stay what they are; `load_state_dict` would cast the moments.
    moments = {parameter: copy.deepcopy(state) for parameter, state in optimizer.state.items()}
    options = [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]

    def restore() -> None:
        optimizer.state.clear()
        optimizer.state.update(moments)
        for group, option in zip(optimizer.param_groups, options, strict=True):
            group.update(option)

    return restore


def _random_states(generators: Sequence[torch.Generator]) -> Callable[[], None]:
    """What puts the generators back: Python's, NumPy's, torch's and those given."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    has_cuda = bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if has_cuda else None
    states = [generator.get_state() for generator in generators]

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)

    return restore
