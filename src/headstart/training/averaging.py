"""Averaging weights, and keeping them near the pretrained ones.

Three regularisers of fine-tuning: an average over the steps (EMA), a penalty on the distance from the
pretrained weights (L2-SP), and interpolation between initial and final weights (WiSE-FT).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from headstart.errors import InputError


class Ema:
    """An exponential moving average of a module's weights.

    After update ``t`` (from 1), ``average = d * average + (1 - d) * weights`` with
    ``d = min(decay, (1 + t) / (10 + t))``: the warm-up lets the average move away from the initial
    weights in short trainings; ``d`` reaches 0.99 after 890 updates and 0.999 after 8,990. Floating-point
    tensors of the state dict are averaged, the running statistics of BatchNorm among them; integers,
    such as its counters, are copied. Constant tensors stay equal bit for bit.

    Raises InputError if `decay` is out of range.

    Parameters
    ----------
    module : nn.Module
        The average starts at its current weights.
    decay : float in [0, 1)
        0 follows the module; 0.999 averages about a thousand steps.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"ema_decay must be at least 0 and below 1; got {decay}")
        self.decay = decay
        self.n_updates = 0
        # With 16 bits, steps of (1 - decay) would be rounded away.
        self.values = {k: _wide(v).clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Update the average with the weights of `module`, once after each optimizer step."""
        self.n_updates += 1
        keep = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        for name, value in module.state_dict().items():
            average = self.values[name]
            if value.is_floating_point():
                average.lerp_(value.to(average.dtype), 1 - keep)
            else:
                average.copy_(value)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Write the average into `module`, in the module's own dtypes."""
        for name, value in module.state_dict().items():
            value.copy_(self.values[name])

    def restore(self, n_updates: int, values: Mapping[str, Tensor]) -> None:
        """Continue from an earlier average.

        Raises ValueError if the names are not those of this module.
        """
        if odd := sorted(values.keys() ^ self.values.keys()):
            raise ValueError(f"the average is of another module: {odd[0]!r} is in one only")
        self.n_updates = n_updates
        for name, value in values.items():
            self.values[name].copy_(value)


def l2_sp_penalty(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    start: Mapping[str, Tensor],
    strength: float,
    *,
    strength_new: float = 0.0,
) -> Tensor:
    """L2-SP: weight decay towards the starting point instead of towards zero.

    ``strength / 2 * |w - w0|^2`` over parameters in `start`, plus
    ``strength_new / 2 * |w|^2`` over the others, such as a new output layer (Li, Grandvalet and
    Davoine 2018, equation 3). It replaces weight decay, which would also pull towards zero.

    Raises ValueError if a parameter has another shape than at the start.

    Parameters
    ----------
    named_parameters : iterable of (str, nn.Parameter)
        Parameters without gradient are skipped.
    start : mapping of str to Tensor
        The pretrained weights, on the same device, without replaced layers.
    strength : float, at least 0
        Alpha of the paper.
    strength_new : float, at least 0, default=0
        Beta of the paper; 0 leaves new parameters to the optimizer's weight decay.

    Returns
    -------
    Tensor, a scalar
        Differentiable; to be added to the loss.
    """
    total = torch.zeros(())
    for name, parameter in named_parameters:
        if not parameter.requires_grad:
            continue
        origin = start.get(name)
        if origin is None:
            term = strength_new / 2 * parameter.square().sum()
        else:
            _same_shape(name, origin, parameter)
            term = strength / 2 * (parameter - origin).square().sum()
        total = total.to(term.device) + term
    return total


@torch.no_grad()
def interpolate(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """WiSE-FT: interpolate linearly from `start` to `end` (Wortsman et al. 2022).

    Raises InputError if `alpha` is out of range; ValueError if a tensor has another shape than at
    the start.

    Parameters
    ----------
    start, end : mapping of str to Tensor
        State dicts of the same architecture before and after training, including the output layer;
        the paper starts from a zero-shot output layer, we from the linear SVM.
    alpha : float in [0, 1]
        0 gives the start, 1 the end, both bit for bit.

    Returns
    -------
    dict of str to Tensor
        Floating-point tensors are interpolated; integers, and names missing in `start`, are those of
        the end. Running statistics of BatchNorm do not fit the new weights: see
        `headstart.training.batchnorm.reestimate`.
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"wise_ft must be from 0 (start) to 1 (end); got {alpha}")
    result = {}
    for name, last in end.items():
        first = start.get(name)
        if first is None or not last.is_floating_point():
            result[name] = last.clone()
            continue
        _same_shape(name, first, last)
        wide = _wide(first).to(last.device).lerp(_wide(last), alpha)
        result[name] = wide.to(last.dtype)
    return result


def _wide(value: Tensor) -> Tensor:
    """Convert 16-bit values to float32."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def _same_shape(name: str, first: Tensor, last: Tensor) -> None:
    if first.shape != last.shape:
        raise ValueError(
            f"{name!r} has shape {tuple(last.shape)} and had {tuple(first.shape)} at the start: "
            "leave replaced layers out of it"
        )
