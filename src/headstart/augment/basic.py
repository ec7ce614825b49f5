"""The first part of every policy: random crop, flip and small rotation in one resampling, and colour jitter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headstart.augment.colour import colour_maps, recolour
from headstart.augment.policy import Policy
from headstart.augment.warping import Array, affine, warp


def centre_crop(images: Tensor, size_px: int) -> Tensor:
    """Centre crop of uint8 images (B, 3, R, R) as float32 (B, 3, size_px, size_px) in [0, 1]."""
    top, left = ((side - size_px) // 2 for side in images.shape[2:])
    return images[:, :, top : top + size_px, left : left + size_px].float().div_(255)


def vary(images: Tensor, policy: Policy, size_px: int, rng: np.random.Generator) -> Tensor:
    """Crop, flip, rotate and recolour each image at random.

    Parameters
    ----------
    images : uint8 tensor (B, 3, R, R)
    policy : Policy
        Its parameters `min_area` to `hue` set the strengths.
    size_px : int
        Side of the result.

    Returns
    -------
    float32 tensor (B, 3, size_px, size_px) in [0, 1]
    """
    return draw_variation(len(images), policy, rng)(images, size_px)


@dataclass(frozen=True)
class Variation:
    """Random draws of `vary` for a batch of n images."""

    maps: Array  # (n, 2, 3); affine maps of the crops
    colour: Array  # (4, n); brightness, contrast, saturation, hue

    def __call__(self, images: Tensor, size_px: int) -> Tensor:
        """Vary uint8 images (n, 3, R, R)."""
        cropped = warp(images.float(), self.maps, size_px, reflect=True)
        return recolour(cropped, *colour_maps(*self.colour), scale=1 / 255)

    def of(self, rows: NDArray[np.int64] | slice) -> Variation:
        """The draws for some of the images."""
        return Variation(self.maps[rows], self.colour[:, rows])


def draw_variation(n: int, policy: Policy, rng: np.random.Generator) -> Variation:
    """Draw a variation for each of n images."""
    maps = crop_maps(n, policy, rng)
    light = rng.uniform(1 - policy.jitter, 1 + policy.jitter, (3, n))
    hue = rng.uniform(-policy.hue, policy.hue, n)
    return Variation(maps, np.concatenate([light, hue[None]]))


def crop_maps(n: int, policy: Policy, rng: np.random.Generator) -> Array:
    """Random crops, flipped and rotated about their centres, as affine maps (n, 2, 3).

    The corners of a rotated crop may lie outside the image.
    """
    area = rng.uniform(policy.min_area, 1, n)
    aspect = np.exp(rng.uniform(-1, 1, n) * np.log(policy.max_aspect))
    width = np.minimum(np.sqrt(area * aspect), 1)
    height = np.minimum(np.sqrt(area / aspect), 1)
    x = rng.uniform(-1, 1, n) * (1 - width)
    y = rng.uniform(-1, 1, n) * (1 - height)
    mirror = np.where(rng.random(n) < policy.flip, -1.0, 1.0)
    angle = np.deg2rad(rng.uniform(-1, 1, n) * policy.degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return affine(cos * width * mirror, -sin * height, x, sin * width * mirror, cos * height, y)
