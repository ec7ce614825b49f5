"""The operations, differentiable in their strengths, and the policy to learn.

Kornia's operations (extra ``augment``) have gradients with respect to factors, angles and shifts.
Solarize, posterize, equalize and autocontrast use a straight-through estimator: the gradient of the
result is passed unchanged to the image and to the strength (Hataya 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn

from headstart.augment.operations import (
    FILL,
    MAX_BITS_LOST,
    MAX_DEGREES,
    MAX_FACTOR,
    MAX_SHEAR,
    MAX_SHIFT,
)
from headstart.augment.subpolicies import GEOMETRIC, OPERATIONS, SIGNED, Choice, SubPolicy
from headstart.errors import InputError

NEGLIGIBLE = 0.01
"""Choices with a smaller weight are left out of the policy."""


def kornia() -> ModuleType:
    """Import Kornia.

    Raises InputError where it is not installed.
    """
    try:
        import kornia as package
    except ImportError as error:
        raise InputError(
            "the search for an augmentation policy needs Kornia: pip install 'headstart[augment]'"
        ) from error
    return package


def differentiable(operation: str, images: Tensor, strengths: Tensor) -> Tensor:
    """Apply one operation to a batch, differentiable in images and strengths.

    Parameters
    ----------
    operation : str
        One of `OPERATIONS`.
    images : float32 tensor (n, 3, S, S) in [0, 1]
    strengths : float32 tensor (n,)
        As in :func:`headstart.augment.operations.apply_layer`; results differ only in how the edges
        are blended with the grey outside.
    """
    if operation in GEOMETRIC:
        return _geometric(operation, images, strengths)
    return _TONES[operation](images, strengths)


def _geometric(operation: str, images: Tensor, strengths: Tensor) -> Tensor:
    transform = kornia().geometry.transform
    side = images.shape[-1]
    none = torch.zeros_like(strengths)
    of = {name: strengths if name == operation else none for name in GEOMETRIC}
    # Kornia maps from the source to the result, and shears by angles; y points down.
    matrix = transform.get_affine_matrix2d(
        torch.stack([of["translate_x"], of["translate_y"]], 1) * (MAX_SHIFT * side),
        images.new_full((len(images), 2), (side - 1) / 2),
        torch.ones_like(images[:, :2, 0, 0]),
        -of["rotate"] * MAX_DEGREES,
        sx=torch.atan(of["shear_x"] * MAX_SHEAR),
        sy=torch.atan(of["shear_y"] * MAX_SHEAR),
    )[:, :2]
    moved: Tensor = transform.warp_affine(images - FILL, matrix, (side, side), align_corners=True)
    return moved + FILL


def _straight_through(result: Tensor, images: Tensor, strengths: Tensor | None = None) -> Tensor:
    """The value of `result` with the gradient of images plus strengths."""
    carried = images - images.detach()
    if strengths is not None:
        carried = carried + (strengths - strengths.detach()).view(-1, 1, 1, 1)
    return result.detach() + carried


def _factor(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    def change(images: Tensor, strengths: Tensor) -> Tensor:
        changed: Tensor = getattr(kornia().enhance, name)(images, 1 + MAX_FACTOR * strengths)
        return changed.clamp(0, 1)

    return change


def _solarize(images: Tensor, strengths: Tensor) -> Tensor:
    threshold = (1 - strengths.detach()) * (256 / 255)
    inverted = torch.where(images >= threshold.view(-1, 1, 1, 1), 1 - images, images)
    return _straight_through(inverted, images, strengths)


def _posterize(images: Tensor, strengths: Tensor) -> Tensor:
    lost = (strengths.detach() * MAX_BITS_LOST).round().view(-1, 1, 1, 1)
    step = torch.exp2(lost)
    coarse = images.detach().mul(255).round().div(step).floor().mul(step).div(255)
    return _straight_through(torch.where(step > 1, coarse, images), images, strengths)


def _equalize(images: Tensor, strengths: Tensor) -> Tensor:
    return _straight_through(kornia().enhance.equalize(images.detach().clamp(0, 1)), images)


def _autocontrast(images: Tensor, strengths: Tensor) -> Tensor:
    low, high = (
        images.detach().amin((2, 3), keepdim=True),
        images.detach().amax((2, 3), keepdim=True),
    )
    stretched = (images - low) / (high - low).clamp_min(1 / 255)
    return torch.where(high > low, stretched, images)


def _invert(images: Tensor, strengths: Tensor) -> Tensor:
    inverted: Tensor = kornia().enhance.invert(images)
    return inverted


_TONES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": _factor("adjust_brightness_accumulative"),
    "contrast": _factor("adjust_contrast_with_mean_subtraction"),
    "saturation": _factor("adjust_saturation_with_gray_subtraction"),
    "sharpness": _factor("sharpness"),
    "solarize": _solarize,
    "posterize": _posterize,
    "equalize": _equalize,
    "autocontrast": _autocontrast,
    "invert": _invert,
}


class Pipeline(nn.Module):
    """A policy that can be learnt by gradient (Faster AutoAugment, Hataya 2020).

    Parameters
    ----------
    n_sub_policies, n_steps : int
        L sub-policies of K steps each; a step is a weighted sum over all operations.
    temperature : float > 0
        Temperature of the softmax over operations; small values select nearly one operation.
    relaxation : float > 0
        Temperature of the relaxed Bernoulli variable that applies an operation.
    operations : tuple of str
        Operations to choose from.
    """

    def __init__(
        self,
        n_sub_policies: int,
        n_steps: int,
        *,
        temperature: float = 0.05,
        relaxation: float = 0.1,
        operations: tuple[str, ...] = OPERATIONS,
    ) -> None:
        super().__init__()
        kornia()  # fail early if it is missing
        shape = (n_sub_policies, n_steps, len(operations))
        self.operations, self.temperature, self.relaxation = operations, temperature, relaxation
        self.choice = nn.Parameter(torch.zeros(shape))
        self.probability = nn.Parameter(torch.zeros(shape))
        self.magnitude = nn.Parameter(torch.zeros(shape))

    def start(self, generator: torch.Generator) -> None:
        """Small random values, so that the sub-policies differ."""
        with torch.no_grad():
            for parameter, spread in (
                (self.choice, 0.01),
                (self.probability, 0.1),
                (self.magnitude, 0.5),
            ):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)

    def forward(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Vary float32 images (B, 3, S, S) in [0, 1]; image b goes through sub-policy b mod L."""
        sub = torch.arange(len(images)) % len(self.choice)
        for step in range(self.choice.shape[1]):
            weights = torch.softmax(self.choice[sub, step] / self.temperature, dim=1)
            odds = self.probability[sub, step]
            strengths = torch.sigmoid(self.magnitude[sub, step])
            luck = torch.rand(odds.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
            signs = torch.rand(odds.shape, generator=generator).lt(0.5).float().mul(-2).add(1)
            applied = torch.sigmoid((odds + torch.logit(luck)) / self.relaxation)
            share = weights * applied
            mixed = images * (1 - share.sum(1)).view(-1, 1, 1, 1)
            for column, operation in enumerate(self.operations):
                strength = strengths[:, column]
                if operation in SIGNED:
                    strength = strength * signs[:, column]
                changed = differentiable(operation, images, strength)
                mixed = mixed + share[:, column].view(-1, 1, 1, 1) * changed
            images = mixed.clamp(0, 1)
        return images

    def sub_policies(self) -> tuple[SubPolicy, ...]:
        """The learnt sub-policies, without choices of negligible weight."""
        weights = torch.softmax(self.choice.detach() / self.temperature, dim=2)
        odds, strengths = (
            torch.sigmoid(self.probability.detach()),
            torch.sigmoid(self.magnitude.detach()),
        )
        return tuple(
            tuple(
                self._step(weights[i, j], odds[i, j], strengths[i, j])
                for j in range(weights.shape[1])
            )
            for i in range(weights.shape[0])
        )

    def _step(self, weights: Tensor, odds: Tensor, strengths: Tensor) -> tuple[Choice, ...]:
        kept = [n for n in range(len(self.operations)) if float(weights[n]) >= NEGLIGIBLE]
        total = sum(float(weights[n]) for n in kept)
        return tuple(
            Choice(
                operation=self.operations[n],
                weight=round(float(weights[n]) / total, 6),
                probability=round(float(odds[n]), 4),
                magnitude=round(float(strengths[n]), 4),
            )
            for n in kept
        )
