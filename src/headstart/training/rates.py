"""The learning-rate range test: a short training with rising rates, undone afterwards.

Smith (2017, section 3.3) raises the rate from step to step and finds where the loss begins to
fall and where it diverges; fastai made it exponential and stops at divergence.
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

# Decay of the running average that detects divergence.
MEMORY = 0.9
# Standard deviation of the Gaussian smoothing, as a share of the steps.
WIDTH = 0.04
# Fewer steps do not show a slope.
MIN_STEPS = 10


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """The result of a range test."""

    rates: Floats  # (n_steps,) float64; rates of the fastest parameter group; rising
    # losses, smoothed: (n_steps,) float64; loss of each batch before its step, raw and smoothed
    losses: Floats
    smoothed: Floats
    stopped: str  # {"end", "diverged", "out of batches"}; why the test ended
    # steepest, lowest: the rates with the steepest fall of the smoothed loss over ``log(rate)``,
    # and with the lowest loss
    steepest: float | None
    lowest: float | None
    # the smaller of `steepest` and a tenth of `lowest`; None if no rate lowered the loss by more
    # than its noise
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
    """Train for some steps with exponentially rising rates, and restore everything.

    Module (weights, buffers, gradients, modes), optimizer and random states (Python, NumPy, torch
    on CPU and CUDA, and `generators`) are restored bit for bit, also if the test fails or is
    interrupted. An iterator given as `batches` is consumed.

    Raises InputError where the range or the number of steps is illegal, or there are too few
    batches.

    Parameters
    ----------
    module : nn.Module
        In training mode.
    optimizer : torch.optim.Optimizer
        For its parameters. Ratios between the rates of parameter groups are kept; the largest rate
        is varied and reported.
    batches : iterable
        Repeated if it is too short, unless it is an iterator.
    loss_of : callable
        ``loss_of(module, batch)`` returns a differentiable scalar.
    smallest, largest : float, above 0
        Rates of the first and last step.
    divergence : float, above 1, default=4
        The test ends when the running average of the loss is this multiple of its minimum or is not
        finite.
    generators : sequence of torch.Generator, optional
        Generators that `batches` or `loss_of` use.
    progress : Progress, optional
    """
    _check(smallest, largest, n_steps, divergence)
    rates = np.geomspace(smallest, largest, n_steps)
    losses: list[float] = []
    stopped = "out of batches"
    with _untouched(module, optimizer, generators):
        shares = _shares(optimizer)
        watched = _DivergenceCheck(divergence)
        # Rates first in zip, so that no batch is drawn after the last rate.
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
    return _summarise(rates[: len(losses)], np.array(losses), stopped)


def _check(smallest: float, largest: float, n_steps: int, divergence: float) -> None:
    if not 0 < smallest < largest < math.inf:
        raise InputError(f"a range test needs 0 < smallest < largest; got {smallest}, {largest}")
    if n_steps < MIN_STEPS:
        raise InputError(f"a range test needs {MIN_STEPS} or more steps; got {n_steps}")
    if not divergence > 1:
        raise InputError(f"divergence must be above 1; got {divergence}")


def _shares(optimizer: torch.optim.Optimizer) -> list[float]:
    """The rate of each parameter group relative to the largest; equal if all are 0."""
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
    """One step with `rate`; returns the loss before it."""
    for group, share in zip(optimizer.param_groups, shares, strict=True):
        group["lr"] = float(rate) * share
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(module, batch)
    value = float(loss.detach())
    if math.isfinite(value):
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return value


class _DivergenceCheck:
    """Detects divergence by the running average of the loss."""

    def __init__(self, factor: float) -> None:
        self.factor, self.total, self.weight, self.least = factor, 0.0, 0.0, math.inf

    def has_diverged(self, loss: float) -> bool:
        """Add a loss; return whether the training has diverged."""
        if not math.isfinite(loss):
            return True
        self.total = MEMORY * self.total + (1 - MEMORY) * loss
        self.weight = MEMORY * self.weight + (1 - MEMORY)
        average = self.total / self.weight
        self.least = min(self.least, average)
        return average > self.factor * self.least


def _again(batches: Iterable[Any]) -> Iterator[Any]:
    """Repeat `batches`; iterators and empty iterables only once."""
    while True:
        n = 0
        for batch in batches:
            n += 1
            yield batch
        if n == 0 or iter(batches) is batches:
            return


def _summarise(rates: Floats, losses: Floats, stopped: str) -> RangeTest:
    """Smooth the curve and find the rates."""
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
    """Losses smoothed with a centred Gaussian, and the standard error.

    The noise is estimated from second differences, which do not depend on trends.
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
    """Restore module, optimizer and random states after the context."""
    with contextlib.ExitStack() as undo:
        undo.callback(_random_states(generators))
        undo.callback(_optimizer_state(optimizer))
        undo.callback(_module_state(module))
        yield


def _module_state(module: nn.Module) -> Callable[[], None]:
    """A function that restores weights, buffers, gradients and modes."""
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
    """A function that restores the optimizer's moments, counters and options."""
    # Parameters are keys and must stay the same objects; `load_state_dict` would cast the moments.
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
    """A function that restores the generators of Python, NumPy and torch, and those given."""
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
