"""The operations of AugMix, RandAugment and learnt policies.

The meaning of strength 1 follows RandAugment (Cubuk 2020): 30 degrees, a shear of 0.3, a shift of 0.45
of the side, a factor of 1.9 (or 0.1 at -1) for brightness, contrast, saturation and sharpness, 4
bits per channel (posterize), every value inverted (solarize). Uncovered corners are mid-grey.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from headstart.augment.colour import colour_maps, recolour
from headstart.augment.placing import placed
from headstart.augment.subpolicies import COLOUR, GEOMETRIC
from headstart.augment.warping import Array, affine, warp

MAX_DEGREES = 30.0
MAX_SHEAR = 0.3
MAX_SHIFT = 0.45
MAX_FACTOR = 0.9
MAX_BITS_LOST = 4
FILL = 0.5


def apply_layer(images: Tensor, operations: Sequence[str | None], strengths: Array) -> Tensor:
    """Apply one operation to each image; images with the same kind of operation are processed together.

    Parameters
    ----------
    images : float32 tensor (n, 3, S, S) in [0, 1]
    operations : sequence of n names, None for no operation
    strengths : array (n,)
        In [-1, 1], with a sign where the operation is signed, else in [0, 1]; 0 changes nothing
        (but for autocontrast, equalize and invert, which have no strength).

    Returns
    -------
    float32 tensor (n, 3, S, S) in [0, 1]
    """
    out = images.clone()
    names = np.array([name or "" for name in operations])
    for kind, function in _KINDS:
        rows = np.flatnonzero(np.isin(names, kind))
        if len(rows):
            index = placed(rows, images, torch.int64)
            out[index] = function(images[index], names[rows], strengths[rows])
    return out


def geometric_maps(names: NDArray[np.str_], strengths: Array) -> Array:
    """Shears, shifts and rotations as affine maps (n, 2, 3), from the result to the source."""
    amount = {name: np.where(names == name, strengths, 0.0) for name in GEOMETRIC}
    angle = np.deg2rad(amount["rotate"] * MAX_DEGREES)
    cos, sin = np.cos(angle), np.sin(angle)
    shear_x, shear_y = amount["shear_x"] * MAX_SHEAR, amount["shear_y"] * MAX_SHEAR
    shift_x, shift_y = amount["translate_x"] * MAX_SHIFT, amount["translate_y"] * MAX_SHIFT
    # Coordinates run from -1 to 1. An image has one operation, so the maps need no composition.
    return affine(cos, shear_x - sin, -2 * shift_x, shear_y + sin, cos, -2 * shift_y)


def _geometric(images: Tensor, names: NDArray[np.str_], strengths: Array) -> Tensor:
    maps = geometric_maps(names, strengths)
    # Shifting the range to be centred at zero makes the zero padding mid-grey.
    return warp(images - FILL, maps, images.shape[-1], reflect=False).add_(FILL).clamp_(0, 1)


def _colour(images: Tensor, names: NDArray[np.str_], strengths: Array) -> Tensor:
    brightness, contrast, saturation = (
        np.where(names == name, 1 + MAX_FACTOR * strengths, 1.0) for name in COLOUR
    )
    maps = colour_maps(brightness, contrast, saturation, np.zeros(len(images)))
    return recolour(images, *maps)


def _sharpness(images: Tensor, names: NDArray[np.str_], strengths: Array) -> Tensor:
    blurred = F.adjust_sharpness(images, 0.0)
    return torch.lerp(blurred, images, _column(1 + MAX_FACTOR * strengths, images)).clamp_(0, 1)


def _solarize(images: Tensor, names: NDArray[np.str_], strengths: Array) -> Tensor:
    # White is inverted only above strength 0, so that strength 0 changes nothing.
    threshold = _column((1 - strengths) * (256 / 255), images)
    return torch.where(images >= threshold, 1 - images, images)


def bits_kept(strengths: Array) -> NDArray[np.int64]:
    """Bits per channel that posterize keeps, 8 at strength 0."""
    kept: NDArray[np.int64] = (8 - np.rint(np.abs(strengths) * MAX_BITS_LOST)).astype(np.int64)
    return kept


def _posterize(images: Tensor, names: NDArray[np.str_], strengths: Array) -> Tensor:
    step = _column(np.exp2(8.0 - bits_kept(strengths)), images)
    coarse = images.mul(255).round_().div_(step).floor_().mul_(step).div_(255)
    return torch.where(step > 1, coarse, images)


def _equalize(images: Tensor, names: NDArray[np.str_], strengths: Array) -> Tensor:
    levels = images.mul(255).round_().to(torch.uint8)
    equal: Tensor = F.equalize(levels)
    return equal.float().div_(255)


def _autocontrast(images: Tensor, names: NDArray[np.str_], strengths: Array) -> Tensor:
    stretched: Tensor = F.autocontrast(images)
    return stretched


def _invert(images: Tensor, names: NDArray[np.str_], strengths: Array) -> Tensor:
    return 1 - images


def _column(values: Array, like: Tensor) -> Tensor:
    return placed(values, like).view(-1, 1, 1, 1)


_Group = Callable[[Tensor, NDArray[np.str_], Array], Tensor]
_KINDS: tuple[tuple[tuple[str, ...], _Group], ...] = (
    (GEOMETRIC, _geometric),
    (COLOUR, _colour),
    (("sharpness",), _sharpness),
    (("solarize",), _solarize),
    (("posterize",), _posterize),
    (("equalize",), _equalize),
    (("autocontrast",), _autocontrast),
    (("invert",), _invert),
)
